"""What is written under a token: nothing behind the loss of the lock, whenever that comes, nor for another run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from chassis.rpc import client
from kernel.events import Appended, Stream
from kernel.faults import Exhausted, Fault
from provost.state.v1 import state_pb2 as pb
from services.state.domain.board import EntryPut
from services.state.domain.checkpoints import CheckpointSaved
from services.state.domain.inbox import MessagesAcknowledged, MessageSent
from services.state.domain.lock import LockForced, StaleTokenRefused
from services.state.domain.task import ArtifactStored
from services.state.handlers import fencing
from services.state.wire import CODEC
from tests.fakes.wait import until
from tests.rpc.state.asks import advance, get_entry, join, put_entry, recorded, save, send
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_behind import Behind, behind
from tests.rpc.state.test_inboxes import acknowledge
from tests.rpc.state.test_tasks import put, revoke

__all__ = ["behind"]

Write = Callable[[Running, int, int, str], Awaitable[Any]]
"""By `sre-1`: the state asked, its token, which of several, and the request id."""
RUN = "run-sre-1"
ONE_WAS_SENT = ["", *["FENCING_TOKEN_STALE"] * 3]


def entry(state: Running, token: int, n: int, request_id: str = "") -> Awaitable[Any]:
    return put_entry(state, f"k{n}", '"v"', fencing_token=token, request_id=request_id)


def message(state: Running, token: int, n: int, request_id: str = "") -> Awaitable[Any]:
    return send(state, f"m{n}", fencing_token=token, request_id=request_id)


def checkpoint(state: Running, token: int, n: int, request_id: str = "") -> Awaitable[Any]:
    return save(state, f"s{n}", run_id=RUN, fencing_token=token, request_id=request_id)


def artifact(state: Running, token: int, n: int, request_id: str = "") -> Awaitable[Any]:
    request = put(name=f"a{n}", agent_id="sre-1", run_id=RUN, fencing_token=token, request_id=request_id)
    return client.call(state.stub.PutArtifact, request, cause())


WRITES: dict[str, tuple[Write, type]] = {
    "entry": (entry, EntryPut),
    "message": (message, MessageSent),
    "checkpoint": (checkpoint, CheckpointSaved),
    "artifact": (artifact, ArtifactStored),
}
every_write = pytest.mark.parametrize("kind", WRITES)


async def force(state: Running) -> None:
    request = pb.ForceReleaseLockRequest(agent_id="sre-1", reason="it hangs")
    await client.call(state.stub.ForceReleaseLock, request, cause(), roles=("operator",))


async def refusal(asked: Awaitable[Any]) -> str:
    with pytest.raises(Fault) as refused:
        await asked
    return refused.value.reason


async def outcomes(asked: Sequence[Awaitable[Any]]) -> list[str]:
    """How each was refused, empty for one that was not; sorted."""
    done = await asyncio.gather(*asked, return_exceptions=True)
    return sorted(each.reason if isinstance(each, Fault) else "" for each in done)


class Gate:
    """Holds what is appended of one kind of event, as a slow log would."""

    def __init__(self, state: Running, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held, self.opened = 0, asyncio.Event()
        self.fault: Fault | None = None
        append = state.log.append

        async def slow(stream: Stream, events: Sequence[object], **more: Any) -> Appended:
            if isinstance(events[0], kind):
                self.held += 1
                await self.opened.wait()
                if self.fault is not None:
                    raise self.fault
            return await append(stream, events, **more)

        monkeypatch.setattr(state.log, "append", slow)


def checks(state: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each token that is found to be good, before it is written under it."""
    seen: list[str] = []
    answered = fencing.Fencing.answered

    async def telling(self: fencing.Fencing, *args: Any) -> Appended | None:
        before = await answered(self, *args)
        seen.append("good")
        return before

    monkeypatch.setattr(fencing.Fencing, "answered", telling)
    return seen


async def several(
    state: Running, kind: str, token: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list["asyncio.Task[Any]"], Gate]:
    """Four writes whose token was good: one is on its way to the log, the others wait for their turn behind it."""
    write, event = WRITES[kind]
    gate, good = Gate(state, event, monkeypatch), checks(state, monkeypatch)
    asked = [asyncio.ensure_future(write(state, token, n, "")) for n in range(4)]
    looks = 8 if kind == "artifact" else 4
    await until(lambda: len(good) == looks and gate.held == 1, "the writes do not wait")
    return asked, gate


def behind_the_loss(state: Running, event: type) -> int:
    """How many such events stand behind `LockForced`."""
    kinds = [type(CODEC.decode(each).event) for each in state.log.recorded()]
    return kinds[kinds.index(LockForced) :].count(event)


@every_write
async def test_what_waits_for_its_turn_is_not_written_when_the_lock_is_lost_meanwhile(
    state: Running, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await join(state, "sre-1", "sre-2"))["sre-1"]
    asked, gate = await several(state, kind, token, monkeypatch)
    await force(state)
    gate.opened.set()
    assert await outcomes(asked) == ONE_WAS_SENT
    assert behind_the_loss(state, WRITES[kind][1]) == 1
    assert len(recorded(state, StaleTokenRefused)) == 3


@every_write
async def test_a_replica_that_was_stopped_meanwhile_looks_before_it_goes_on(
    state: Running, kind: str, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await join(state, "sre-1", "sre-2"))["sre-1"]
    async with behind() as other:
        asked, gate = await several(other, kind, token, monkeypatch)
        await force(state)
        # Too long ago for this process, which has heard of nothing.
        monkeypatch.setattr(fencing, "TRUSTED_SECONDS", (-1.0, 1.0))
        gate.opened.set()
        assert await outcomes(asked) == ONE_WAS_SENT
    assert behind_the_loss(state, WRITES[kind][1]) == 1


@every_write
@pytest.mark.parametrize("lost", [True, False])
async def test_a_write_waits_for_what_becomes_of_the_lock_when_that_is_on_its_way_to_the_log(
    state: Running, kind: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = WRITES[kind][1]
    token = (await join(state, "sre-1", "sre-2"))["sre-1"]
    asked, gate = await several(state, kind, token, monkeypatch)
    taking = Gate(state, LockForced, monkeypatch)
    forcing = asyncio.ensure_future(force(state))
    await until(lambda: taking.held == 1, "the lock is not taken away")
    gate.opened.set()
    await until(lambda: len(recorded(state, event)) == 1, "what had been sent is not written")
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(recorded(state, event)) == 1, "sent behind what takes the lock away"
    if not lost:
        taking.fault = Exhausted("LOG_FULL", "there is no room")
    taking.opened.set()
    if lost:
        await forcing
        assert await outcomes(asked) == ONE_WAS_SENT
    else:
        assert await refusal(forcing) == "LOG_FULL"
        await asyncio.gather(*asked)
    assert len(recorded(state, event)) == (1 if lost else 4)


async def test_nothing_is_acknowledged_by_who_lost_the_lock_meanwhile(
    state: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await join(state, "sre-1", "sre-2")
    sent = [(await send(state, f"m{n}", from_agent_id="sre-2")).message for n in range(3)]
    gate, good = Gate(state, MessagesAcknowledged, monkeypatch), checks(state, monkeypatch)
    asked = [
        asyncio.ensure_future(acknowledge(state, "sre-1", each.message_id, fencing_token=tokens["sre-1"]))
        for each in sent
    ]
    await until(lambda: len(good) == 3 and gate.held == 1, "they do not wait")
    await force(state)
    gate.opened.set()
    assert await outcomes(asked) == ["", "FENCING_TOKEN_STALE", "FENCING_TOKEN_STALE"]
    assert len(recorded(state, MessagesAcknowledged)) == 1


@every_write
async def test_who_asks_again_is_answered_as_before_whoever_has_the_lock_by_now(
    state: Running, kind: str, behind: Behind
) -> None:
    write, event = WRITES[kind]
    token = (await join(state, "sre-1", "sre-2"))["sre-1"]
    async with behind() as other:
        first = await write(state, token, 1, "once")
        await write(state, token, 2, "then")
        await force(state)
        for replica in (state, other):
            again = await write(replica, token, 1, "once")
            first.ClearField("artifact") if kind == "artifact" else None
            again.ClearField("artifact") if kind == "artifact" else None
            assert again == first
    assert await refusal(write(state, token, 3, "new")) == "FENCING_TOKEN_STALE"
    assert len(recorded(state, event)) == 2


@pytest.mark.parametrize("run_id", ["made-up", "run-sre-2"])
async def test_a_token_writes_for_no_other_run_than_its_own(state: Running, run_id: str) -> None:
    token = (await join(state, "sre-1", "sre-2"))["sre-1"]
    await put_entry(state, "secret", '"pw"', agent_id="sre-2", labels=["secret"])
    await get_entry(state, "secret", agent_id="sre-1", run_id=RUN)
    before = await state.log.last_sequence()
    stored = put(agent_id="sre-1", run_id=run_id, fencing_token=token)
    for asked in (
        put_entry(state, "copy", '"pw"', run_id=run_id, fencing_token=token),
        send(state, "pw", run_id=run_id, fencing_token=token),
        save(state, "s", run_id=run_id, fencing_token=token),
        client.call(state.stub.PutArtifact, stored, cause()),
    ):
        with pytest.raises(Fault) as refused:
            await asked
        assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "run_id")
        assert RUN in str(refused.value)
    assert await state.log.last_sequence() == before
    for own in ("", RUN):
        written = await put_entry(state, f"copy{own}", '"pw"', run_id=own, fencing_token=token)
        assert list(written.entry.labels) == ["secret"]


async def test_nothing_is_stored_in_the_name_of_a_revoked_agent(state: Running) -> None:
    await join(state, "sre-1")
    await state.follower.reached(await revoke(state, "sre-1"))
    stored = client.call(state.stub.PutArtifact, put(agent_id="sre-1"), cause())
    assert await refusal(stored) == "AGENT_REVOKED"
    assert not recorded(state, ArtifactStored)
    await client.call(state.stub.PutArtifact, put(), cause())  # of the task's, in nobody's name


async def test_who_took_its_lock_at_another_replica_just_now_writes_on_the_board(
    state: Running, behind: Behind
) -> None:
    async with behind() as other:
        await join(state, "sre-1")
        assert (await put_entry(other, "cause", '"x"')).entry.version == 1
    assert await refusal(put_entry(state, "cause", '"y"', agent_id="nobody")) == "RECIPIENT_UNKNOWN"


async def test_a_step_waits_for_nobody_who_writes(state: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    gate = Gate(state, EntryPut, monkeypatch)
    asked = asyncio.ensure_future(entry(state, token, 0))
    await until(lambda: gate.held == 1, "nothing is appended")
    await advance(state, token, run_id=RUN)
    gate.opened.set()
    await asked
