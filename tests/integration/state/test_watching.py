"""Watches of a real process that is killed and stopped: what was watched is whole (invariant 12, faults 12, 13, 19)."""

import asyncio
from contextlib import aclosing, suppress
from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Unavailable
from provost.state.v1 import state_pb2 as pb
from tests.integration.state.conftest import Real
from tests.integration.state.test_sharing import send

AGENTS = ("alpha", "beta", "gamma")


def watch(real: Real, cursor: str = "", **asked: Any) -> Any:
    cause = Cause("default", "", "key:viewer", process.now())
    request = pb.WatchRequest(cursor=cursor, **asked)
    return client.stream(real.stub.Watch, request, cause, 60, roles=("viewer",))


class Reader:
    """Goes on from its cursor whenever the watch ends, and remembers what it was told."""

    def __init__(self, real: Real) -> None:
        self._real = real
        self.cursor = ""
        self.messages: list[str] = []
        self.sequences: list[int] = []
        self.interrupted = 0
        self.anew = 0

    async def follow(self) -> None:
        while True:
            with suppress(Unavailable):
                async with aclosing(watch(self._real, self.cursor, task_id="task-1")) as answers:
                    async for answer in answers:
                        self._take(answer)
            self.interrupted += 1
            await asyncio.sleep(0.02)

    def _take(self, answer: pb.WatchResponse) -> None:
        self.anew += answer.snapshot_complete
        self.cursor = answer.cursor or self.cursor
        self.sequences += [change.sequence for change in answer.changes]
        self.messages += [change.message.body for change in answer.changes if change.HasField("message")]


async def test_a_watch_resumed_through_kills_delivers_everything_once_and_in_order(real: Real) -> None:
    for agent in AGENTS:
        await real.locked(agent)
    reader = Reader(real)
    following = asyncio.create_task(reader.follow())
    async with asyncio.timeout(10):
        while not reader.cursor:
            await asyncio.sleep(0.01)
    reader.sequences.clear()  # what was there stands in no order
    sent = 0
    for round_ in range(3):
        for _ in range(20):
            await asyncio.gather(*(send(real, agent, sent) for agent in AGENTS))
            sent += 1
        if round_ == 1:
            await asyncio.to_thread(real.process.stop)  # hands every watch a cursor
        else:
            real.process.kill()
        await asyncio.to_thread(real.process.start)
    await asyncio.gather(*(send(real, agent, sent) for agent in AGENTS))
    sent += 1
    async with asyncio.timeout(20):
        while len(reader.messages) < sent * len(AGENTS):
            await asyncio.sleep(0.01)
            assert not following.done(), following
    following.cancel()
    assert reader.interrupted >= 3
    assert reader.anew == 1, "a cursor was not good for going on"
    assert reader.sequences == sorted(set(reader.sequences))
    assert sorted(reader.messages) == sorted(f'["{agent}", {n}]' for agent in AGENTS for n in range(sent))


async def ended(answers: Any) -> None:
    """Read until it ends."""
    async for _ in answers:
        pass


async def test_sigterm_hands_each_watch_a_cursor(real: Real) -> None:
    token = await real.locked("alpha")
    watches = [watch(real), watch(real, task_id="task-1"), watch(real, agent_id="alpha")]
    for each in watches:
        assert (await anext(each)).snapshot_complete
    before = await real.advance(token, "before", "alpha")
    for each in watches:  # who is given more has read what came before
        while not (await anext(each)).changes:
            pass
    await asyncio.to_thread(real.process.stop)
    cursors = []
    for each in watches:
        with pytest.raises(Unavailable) as stopping:
            await ended(each)
        assert stopping.value.reason == "SHUTTING_DOWN"
        cursors.append(stopping.value.facts["cursor"])
    await asyncio.to_thread(real.process.start)
    at = await real.advance(token, "after", "alpha")
    asked: list[dict[str, str]] = [{}, {"task_id": "task-1"}, {"agent_id": "alpha"}]
    for cursor, filters in zip(cursors, asked, strict=True):
        async with aclosing(watch(real, cursor, **filters)) as answers:
            changes: list[pb.WatchResponse.Change] = []
            while not changes or changes[-1].sequence < at:
                answer = await anext(answers)
                assert not answer.snapshot_complete
                changes += answer.changes
        told = [(change.sequence, change.agent.step) for change in changes]
        assert told in ([(at, "after")], [(before, "before"), (at, "after")])
