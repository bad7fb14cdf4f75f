"""Locks waited for in turn, and locks that a person takes away."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chassis import process
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from kernel.faults import Conflict, Denied, Exhausted, Invalid, Refused, Unavailable
from provost.state.v1 import state_pb2 as pb
from services.state.domain.lock import LockForced, StaleTokenRefused
from services.state.handlers import turns
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, advance, issue, recorded, verify
from tests.rpc.state.conftest import Running, cause, serving

WAIT = 20


async def waits(
    state: Running, holder: str, wait_seconds: int = WAIT, **fields: Any
) -> pb.AcquireLockResponse:
    request = pb.AcquireLockRequest(
        agent_id="sre-1", task_id="task-1", holder=holder, wait_seconds=wait_seconds, **fields
    )
    return await client.call(state.stub.AcquireLock, request, cause(), timeout_seconds=WAIT + 10)


async def release(state: Running, token: int, holder: str = "run-1") -> None:
    request = pb.ReleaseLockRequest(agent_id="sre-1", task_id="task-1", holder=holder, fencing_token=token)
    await client.call(state.stub.ReleaseLock, request, cause())


async def force(state: Running, reason: str = "it hangs", role: str = "operator") -> int:
    request = pb.ForceReleaseLockRequest(agent_id="sre-1", reason=reason)
    who = cause(actor="key:ops")
    return int((await client.call(state.stub.ForceReleaseLock, request, who, roles=(role,))).sequence)


async def locks(state: Running, task_id: str = "") -> list[pb.HeldLock]:
    request = pb.ListLocksRequest(task_id=task_id)
    return list((await client.call(state.stub.ListLocks, request, cause(), roles=("viewer",))).locks)


async def queued(state: Running, *holders: str) -> None:
    async def there() -> bool:
        held = await locks(state)
        return bool(held) and list(held[0].waiting) == list(holders)

    await until(there, f"{holders} do not wait in this order")


async def in_line(state: Running, *holders: str) -> list["asyncio.Task[pb.AcquireLockResponse]"]:
    """One after the other, so that it is known who asked first."""
    asked = []
    for n, holder in enumerate(holders, 1):
        asked.append(asyncio.create_task(waits(state, holder)))
        await queued(state, *holders[:n])
    return asked


async def test_everybody_gets_the_lock_in_the_order_they_asked(state: Running) -> None:
    await issue(state)
    token = (await acquire(state, "run-1")).lock.fencing_token
    asked = await in_line(state, "run-2", "run-3", "run-4")
    holder = "run-1"
    for n, turn in enumerate(asked, 2):
        await release(state, token, holder)
        answer = await turn
        assert answer.lock.fencing_token > token
        token, holder = answer.lock.fencing_token, f"run-{n}"
        assert answer.lock.holder == holder
        assert not any(later.done() for later in asked[n - 1 :])
    (held,) = await locks(state)
    assert (held.lock.holder, held.lock.fencing_token, list(held.waiting)) == ("run-4", token, [])


async def test_who_does_not_wait_does_not_go_before_those_who_do(state: Running) -> None:
    await issue(state)
    token = (await acquire(state, "run-1")).lock.fencing_token
    (asked,) = await in_line(state, "run-2")
    await release(state, token)
    with pytest.raises(Conflict) as caught:
        await acquire(state, "run-3")
    assert caught.value.reason == "CANNOT_ACQUIRE_LOCK"
    assert (await asked).lock.holder == "run-2"


async def test_a_lease_that_runs_out_is_a_turn_too(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1", lease_seconds=1)
    answer = await waits(state, "run-2")
    assert answer.lock.holder == "run-2"


async def test_a_lease_that_runs_out_because_the_clock_moved_is_noticed(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1", lease_seconds=600)
    (asked,) = await in_line(state, "run-2")
    process.set_clock_offset(700)
    try:
        assert (await asked).lock.holder == "run-2"
    finally:
        process.set_clock_offset(0)


async def test_who_renews_its_lease_keeps_its_lock_while_others_wait(state: Running) -> None:
    await issue(state)
    token = (await acquire(state, "run-1", lease_seconds=1)).lock.fencing_token
    (asked,) = await in_line(state, "run-2")
    await advance(state, token, lease_seconds=60)
    with pytest.raises(Conflict) as caught:
        await waits(state, "run-3", 2)
    assert caught.value.facts["holder"] == "run-1"
    assert not asked.done()
    asked.cancel()


async def test_who_goes_away_leaves_the_queue(state: Running) -> None:
    await issue(state)
    token = (await acquire(state, "run-1")).lock.fencing_token
    gone, stays = await in_line(state, "run-2", "run-3")
    gone.cancel()
    await queued(state, "run-3")
    await release(state, token)
    assert (await stays).lock.holder == "run-3"


async def test_a_wait_ends_when_its_time_is_over_and_says_who_has_the_lock(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1")
    with pytest.raises(Conflict) as caught:
        await waits(state, "run-2", 1)
    assert (caught.value.reason, caught.value.facts["holder"]) == ("CANNOT_ACQUIRE_LOCK", "run-1")
    assert list((await locks(state))[0].waiting) == []


async def test_the_holder_has_it_already(state: Running) -> None:
    await issue(state)
    mine = await acquire(state, "run-1")
    (asked,) = await in_line(state, "run-2")
    assert (await waits(state, "run-1")).lock == mine.lock
    asked.cancel()


async def test_a_queue_is_bounded(state: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    await issue(state)
    await acquire(state, "run-1")
    asked = await in_line(state, "run-2", "run-3")
    with pytest.raises(Exhausted) as caught:
        await waits(state, "run-4")
    assert caught.value.reason == "CANNOT_ACQUIRE_LOCK"
    for each in asked:
        each.cancel()


@pytest.mark.parametrize("seconds", [-1, 301])
async def test_how_long_one_may_wait_has_bounds(state: Running, seconds: int) -> None:
    await issue(state)
    with pytest.raises(Invalid) as caught:
        await waits(state, "run-1", seconds)
    assert caught.value.facts["field"] == "wait_seconds"


async def test_nobody_waits_for_a_lock_without_a_packet_for_its_task(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1")
    other = pb.AcquireLockRequest(agent_id="sre-1", task_id="task-2", holder="x", wait_seconds=WAIT)
    with pytest.raises(Refused) as caught:
        await client.call(state.stub.AcquireLock, other, cause())
    assert caught.value.reason == "NO_INSTRUCTION_PACKET"


async def test_who_waits_at_a_replica_is_told_when_it_stops_and_gets_its_turn_at_another(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = MemoryLog(CODEC)
    async with serving(log, valkey_server.url, tmp_path) as stays:
        await issue(stays)
        token = (await acquire(stays, "run-1")).lock.fencing_token
        async with serving(log, valkey_server.url, tmp_path) as stops:
            await stops.follower.reached(await log.last_sequence())
            (asked,) = await in_line(stops, "run-2")
            stops.turns.close()
            with pytest.raises(Unavailable):
                await asked
        (again,) = await in_line(stays, "run-2")
        await release(stays, token)
        assert (await again).lock.holder == "run-2"


async def test_waiters_of_two_replicas_get_it_one_after_the_other(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = MemoryLog(CODEC)
    async with (
        serving(log, valkey_server.url, tmp_path) as one,
        serving(log, valkey_server.url, tmp_path) as other,
    ):
        await issue(one)
        token = (await acquire(one, "run-1")).lock.fencing_token
        await other.follower.reached(await log.last_sequence())
        pending = {
            *await in_line(one, "run-2", "run-3"),
            *await in_line(other, "run-4", "run-5"),
        }
        tokens, holder = [token], "run-1"
        while pending:
            await release(one, tokens[-1], holder)
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED, timeout=WAIT)
            (turn,) = done
            holder = turn.result().lock.holder
            tokens.append(turn.result().lock.fencing_token)
            await one.follower.reached(tokens[-1])
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 5


async def test_a_person_takes_the_lock_away_and_the_old_token_is_refused_whatever_it_is_shown_for(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state, "run-1")).lock.fencing_token
    (asked,) = await in_line(state, "run-2")
    await force(state)
    assert (await asked).lock.holder == "run-2"
    (forced,) = recorded(state, LockForced)
    assert isinstance(forced, LockForced)
    assert (forced.holder, forced.fencing_token, forced.reason, forced.by) == (
        "run-1",
        token,
        "it hangs",
        "key:ops",
    )
    with pytest.raises(Refused) as caught:
        await advance(state, token)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    with pytest.raises(Refused):
        await release(state, token)
    assert len(recorded(state, StaleTokenRefused)) == 2
    assert (await verify(state)).equal


async def test_what_was_taken_away_cannot_be_given_back_by_its_old_holder_even_while_it_is_free(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state, "run-1")).lock.fencing_token
    await force(state)
    assert await locks(state) == []
    with pytest.raises(Refused) as caught:
        await release(state, token)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    with pytest.raises(Refused) as caught:
        await force(state)
    assert caught.value.reason == "LOCK_NOT_HELD"


@pytest.mark.parametrize("role", ["viewer", "approver", "auditor", "service"])
async def test_only_operators_take_a_lock_away(state: Running, role: str) -> None:
    await issue(state)
    await acquire(state, "run-1")
    with pytest.raises(Denied):
        await force(state, role=role)


async def test_a_lock_is_not_taken_away_without_a_reason(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1")
    with pytest.raises(Invalid) as caught:
        await force(state, " ")
    assert caught.value.facts["field"] == "reason"


async def test_locks_are_listed_by_task(state: Running) -> None:
    await issue(state)
    await acquire(state, "run-1")
    assert [each.agent_id for each in await locks(state, "task-1")] == ["sre-1"]
    assert await locks(state, "task-2") == []
    with pytest.raises(Invalid):
        await locks(state, "task 1")
