"""A watch of state goes on by itself, misses nothing, and is told in lines."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from provost.state.v1 import state_pb2 as pb
from provost_sdk import watch_calls
from provost_sdk.cli import watching
from provost_sdk.cli.app import app
from provost_sdk.errors import InvalidRequest, LimitReached, NotNow, ProvostError, Unreachable
from provost_sdk.watch_calls import WatchCalls


def answer(cursor: str, *sequences: int, complete: bool = False) -> pb.WatchResponse:
    changes = [
        pb.WatchResponse.Change(sequence=each, agent=pb.AgentSnapshot(agent_id="sre-1")) for each in sequences
    ]
    return pb.WatchResponse(changes=changes, cursor=cursor, snapshot_complete=complete)


class Scripted(WatchCalls):
    """Connections that each go as they are told to."""

    def __init__(self, *lives: list[pb.WatchResponse | ProvostError]) -> None:
        self._lives = iter(lives)
        self._state: Any = type("Stub", (), {"Watch": None})
        self.asked: list[pb.WatchRequest] = []

    async def _answers(
        self, method: Any, request: Any, timeout_seconds: float | None = 0
    ) -> AsyncIterator[Any]:
        self.asked.append(request)
        for each in next(self._lives):
            if isinstance(each, ProvostError):
                raise each
            yield each

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_calls, "_FIRST_PAUSE_SECONDS", 0.001)


async def sequences(client: Scripted, count: int, **asked: Any) -> list[int]:
    seen: list[int] = []
    answers: Any = client.watch_state(**asked)
    async with aclosing(answers) as told:
        async for each in told:
            seen += [change.sequence for change in each.changes]
            if len(seen) >= count:
                break
    return seen


async def test_it_goes_on_behind_its_cursor_whatever_ends_it() -> None:
    client = Scripted(
        [answer("", 1, 2), answer("c4", 4, complete=True), Unreachable("SHUTTING_DOWN", "stopping")],
        [Unreachable("GATEWAY_UNREACHABLE", "nobody")],
        [answer("c4"), answer("c5", 5), LimitReached("WATCH_TOO_SLOW", "nothing was read")],
        [answer("c7", 6, 7)],
        [answer("c8", 8)],
    )
    why: list[str] = []
    assert await sequences(client, 7, task="t", agent="a", interrupted=why.append) == [1, 2, 4, 5, 6, 7, 8]
    assert [each.cursor for each in client.asked] == ["", "c4", "c4", "c5", "c7"]
    assert {(each.task_id, each.agent_id) for each in client.asked} == {("t", "a")}
    assert len(why) == 4


async def test_a_snapshot_that_was_cut_short_begins_anew() -> None:
    client = Scripted(
        [answer("", 1), Unreachable("SHUTTING_DOWN", "stopping")], [answer("c2", 1, 2, complete=True)]
    )
    assert await sequences(client, 3) == [1, 1, 2]
    assert [each.cursor for each in client.asked] == ["", ""]


async def test_it_begins_anew_when_its_cursor_has_expired() -> None:
    client = Scripted(
        [NotNow("CURSOR_EXPIRED", "more has changed than is kept")], [answer("c9", 3, 9, complete=True)]
    )
    assert await sequences(client, 2, cursor="c1") == [3, 9]
    assert [each.cursor for each in client.asked] == ["c1", ""]


async def test_what_trying_again_does_not_mend_is_raised() -> None:
    with pytest.raises(InvalidRequest):
        await sequences(Scripted([InvalidRequest("CURSOR_INVALID", "another's")]), 1, cursor="x")
    with pytest.raises(Unreachable):
        await sequences(Scripted([Unreachable("GATEWAY_UNREACHABLE", "nobody")]), 1)
    with pytest.raises(NotNow):
        await sequences(Scripted([answer("c", complete=True), NotNow("OTHER", "no")]), 1)


def test_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Scripted([answer("c2", 1, 2, complete=True), answer("c3", 3)])
    monkeypatch.setattr("provost_sdk.client.Provost", lambda *_, **__: client)
    told = CliRunner().invoke(app, ["state", "watch", "--task", "t", "--once", "--address", "127.0.0.1:1"])
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines() == ["1  agent  sre-1", "2  agent  sre-1"]
    assert client.asked[0].task_id == "t"


def test_each_kind_of_change_is_one_line() -> None:
    stuck = pb.Stuck(evidence="the same\nagain")
    agent = pb.AgentSnapshot(
        agent_id="sre-1", phase="PLAN", step="look", lock=pb.Lock(holder="run-1"), stuck=stuck
    )
    entry = pb.Entry(
        task_id="t", section="progress", key="disk", value="1", author="sre-1", version=2, labels=["a", "b"]
    )
    read = pb.Acknowledgement(task_id="t", agent_id="sre-2", message_ids=["m-1", "m-2"])
    message = pb.Message(task_id="t", from_agent_id="sre-1", type="QUESTION", body='"why?"')
    told = [
        watching.line_of(pb.WatchResponse.Change(sequence=4, agent=agent)),
        watching.line_of(pb.WatchResponse.Change(sequence=5, entry=entry)),
        watching.line_of(pb.WatchResponse.Change(sequence=6, message=message)),
        watching.line_of(pb.WatchResponse.Change(sequence=7, acknowledgement=read)),
        watching.line_of(
            pb.WatchResponse.Change(revocation=pb.Revocation(agent_id="a", kind="K", by="key:x"))
        ),
    ]
    assert told == [
        "4  agent  sre-1  PLAN/look  locked by run-1  stuck: the same again",
        "5  entry  t  progress/disk v2 by sre-1  1  [a, b]",
        '6  message  t  QUESTION sre-1 -> all  "why?"',
        "7  acknowledgement  t  sre-2 has read m-1, m-2",
        "-  revocation  a  K by key:x",
    ]
