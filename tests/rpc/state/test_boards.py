"""Blackboards over gRPC: written by compare and set under a lock, read at once, labelled, each tenant's apart."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from kernel.events import Recorded
from kernel.faults import Conflict, Denied, Exhausted, Fault, Invalid, NotFound, Refused
from provost.state.v1 import state_pb2 as pb
from services.state.domain import board
from services.state.domain.board import MAX_VALUE_BYTES
from services.state.domain.lock import StaleTokenRefused
from services.state.wire import CODEC
from tests.fakes.valkey_server import ValkeyServer
from tests.fakes.wait import until
from tests.rpc.state.asks import acquire, get_entry, issue, join, look, put_entry, save, send, verify
from tests.rpc.state.conftest import Running, cause, serving


async def listed(state: Running, page_size: int = 0, token: str = "", section: str = "") -> list[str]:
    found = list[str]()
    while True:
        request = pb.ListEntriesRequest(
            task_id="task-1", section=section, page_size=page_size, page_token=token
        )
        page = await client.call(state.stub.ListEntries, request, cause())
        found += [f"{each.section}/{each.key}" for each in page.entries]
        token = page.next_page_token
        if not token:
            return found


def types(state: Running) -> list[str]:
    return [recorded.event_type for recorded in state.log.recorded()]


async def test_what_was_written_is_read_at_once_with_author_version_and_place(state: Running) -> None:
    await join(state, "sre-1")
    first = await put_entry(state, "analysis", '{"disk": "full"}', labels=["secret"])
    assert await get_entry(state, "analysis", at_least_sequence=first.sequence) == first.entry
    entry = first.entry
    assert (entry.author, entry.version, entry.sequence, list(entry.labels)) == (
        "sre-1",
        1,
        first.sequence,
        ["secret"],
    )
    second = await put_entry(state, "analysis", "2", expected_version=1)
    assert (await get_entry(state, "analysis")).version == second.entry.version == 2


async def test_who_writes_over_what_it_has_not_read_is_refused_and_told_the_version(state: Running) -> None:
    await join(state, "sre-1")
    await put_entry(state, "analysis", "1")
    await put_entry(state, "analysis", "2")
    before = await state.log.last_sequence()
    for expected in (0, 1, 3):
        with pytest.raises(Conflict) as caught:
            await put_entry(state, "analysis", "3", expected_version=expected)
        assert (caught.value.reason, caught.value.facts["current_version"]) == ("ENTRY_CHANGED", "2")
    assert await state.log.last_sequence() == before


async def test_a_request_asked_again_is_answered_as_before_whatever_came_after(state: Running) -> None:
    await join(state, "sre-1")
    first = await put_entry(state, "analysis", "1", request_id="once", expected_version=0)
    assert await put_entry(state, "analysis", "1", request_id="once", expected_version=0) == first
    await put_entry(state, "analysis", "2")
    state.log.forget_ids()
    again = await put_entry(state, "analysis", "1", request_id="once", expected_version=0)
    assert again == first
    assert (await get_entry(state, "analysis")).value == "2"


async def test_a_request_asked_again_is_answered_as_before_when_its_entry_was_let_go(
    state: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MAX_ENTRIES", 2)
    await join(state, "sre-1")
    first = await put_entry(state, "x", "1", request_id="once")
    await put_entry(state, "x", "")
    for other in ("y", "z"):
        await put_entry(state, other, "1")
    assert await put_entry(state, "x", "1", request_id="once") == first


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("other", [{"key": "b"}, {"value": "2"}, {"section": "progress"}])
async def test_a_request_id_of_another_entry_is_refused(
    state: Running, other: dict[str, str], there: bool
) -> None:
    await join(state, "sre-1")
    await put_entry(state, "a", "1", request_id="once")
    mine: dict[str, str] = {"key": "a", "value": "1", **other}
    if there:
        await put_entry(state, **mine)
    before = await state.log.last_sequence()
    with pytest.raises(Invalid) as refused:
        await put_entry(state, request_id="once", **mine)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "request_id")
    assert await state.log.last_sequence() == before


async def test_entries_are_listed_by_section_and_key_page_by_page(state: Running) -> None:
    await join(state, "sre-1")
    assert await listed(state) == []
    names = [("consensus", "final"), ("problem", "b"), ("problem", "a"), ("solutions", "p:1")]
    for section, key in names:
        await put_entry(state, key, "1", section=section)
    await put_entry(state, "gone", "1")
    await put_entry(state, "gone", "")
    every = ["problem/a", "problem/b", "solutions/p:1", "consensus/final"]
    assert (
        await listed(state) == await listed(state, page_size=1) == await listed(state, page_size=3) == every
    )
    assert await listed(state, section="problem", page_size=1) == ["problem/a", "problem/b"]
    for section, token in (("rumours", ""), ("", "nowhere")):
        with pytest.raises(Invalid):
            await listed(state, section=section, token=token)
    with pytest.raises(NotFound) as caught:
        await get_entry(state, "gone")
    assert caught.value.reason == "ENTRY_UNKNOWN"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"section": "rumours"}, "FIELD_INVALID"),
        ({"task_id": "no.such"}, "MALFORMED_ID"),
        ({"value": "not json"}, "FIELD_INVALID"),
        ({"value": '"' + "x" * MAX_VALUE_BYTES + '"'}, "ENTRY_TOO_LARGE"),
        ({"labels": ["No Label"]}, "FIELD_INVALID"),
        ({"agent_id": "stranger"}, "RECIPIENT_UNKNOWN"),
        ({"task_id": "task-2"}, "RECIPIENT_UNKNOWN"),
        ({"value": ""}, "ENTRY_UNKNOWN"),
        ({"expected_version": 7}, "ENTRY_CHANGED"),
    ],
)
async def test_what_cannot_be_written_leaves_nothing_behind(
    state: Running, fields: dict[str, Any], reason: str
) -> None:
    await join(state, "sre-1")
    before = await state.log.last_sequence()
    with pytest.raises(Fault) as caught:
        await put_entry(state, "analysis", fields.pop("value", "1"), **fields)
    assert caught.value.reason == reason
    assert await state.log.last_sequence() == before
    assert (await verify(state)).equal


async def test_a_stale_token_is_refused_and_recorded_and_nothing_is_written(state: Running) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    await put_entry(state, "analysis", "1", fencing_token=token)
    with pytest.raises(Invalid):
        await put_entry(state, "analysis", "2", task_id="task-2", fencing_token=token)
    release = pb.ReleaseLockRequest(
        agent_id="sre-1", task_id="task-1", holder="run-sre-1", fencing_token=token
    )
    await client.call(state.stub.ReleaseLock, release, cause())
    taken = (await acquire(state, "run-2")).lock.fencing_token
    for stale in (token, token + 1000):
        with pytest.raises(Refused) as caught:
            await put_entry(state, "analysis", "2", fencing_token=stale)
        assert caught.value.reason == "FENCING_TOKEN_STALE"
        refused = CODEC.decode(state.log.recorded()[-1]).event
        assert isinstance(refused, StaleTokenRefused)
        assert (refused.presented_token, refused.current_token) == (stale, taken)
    assert (await get_entry(state, "analysis")).value == "1"
    await put_entry(state, "analysis", "2", fencing_token=taken)


async def test_a_replica_that_is_behind_lets_nobody_write_with_a_token_that_was_taken_away(
    valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, there = MemoryLog(CODEC), asyncio.Event()
    async with (
        serving(log, valkey_server.url, tmp_path) as one,
        serving(log, valkey_server.url, tmp_path) as behind,
    ):
        token = (await join(one, "sre-1"))["sre-1"]
        await behind.follower.reached(token)
        deliver = behind.follower._deliver

        async def late(events: Sequence[Recorded]) -> None:
            await there.wait()
            await deliver(events)

        monkeypatch.setattr(behind.follower, "_deliver", late)
        taken = pb.ForceReleaseLockRequest(agent_id="sre-1", reason="it hangs")
        await client.call(one.stub.ForceReleaseLock, taken, cause(), roles=("operator",))
        writes = {
            asyncio.create_task(put_entry(behind, "analysis", "1", fencing_token=token)),
            asyncio.create_task(send(behind, "x", fencing_token=token)),
            asyncio.create_task(save(behind, "s-1", fencing_token=token)),
        }
        done, _ = await asyncio.wait(writes, timeout=0.3)
        assert not done, "answered before it could know"
        there.set()
        for each in writes:
            with pytest.raises(Refused) as caught:
                await each
            assert caught.value.reason == "FENCING_TOKEN_STALE"


async def test_a_person_writes_in_its_own_name_and_nobody_else_may(state: Running) -> None:
    await issue(state)
    entry = (await put_entry(state, "objective", '"find it"', actor="key:boss")).entry
    assert entry.author == "key-boss"
    with pytest.raises(Invalid):
        await put_entry(state, "objective", '"x"', actor="key:boss", agent_id="sre-1")
    with pytest.raises(Invalid):
        await put_entry(state, "objective", '"x"', actor="key:boss", fencing_token=7)
    request = pb.PutEntryRequest(task_id="task-1", section="problem", key="k", value="1")
    for roles in (("viewer",), ("auditor",), ()):
        with pytest.raises(Denied):
            await client.call(state.stub.PutEntry, request, cause(), roles=roles)


async def test_what_a_run_reads_labels_it_once(state: Running) -> None:
    await join(state, "sre-1", "sre-2")
    await put_entry(state, "analysis", "1", labels=["secret", "customer"])
    await put_entry(state, "objective", "1")
    reader = {"agent_id": "sre-1", "run_id": "run-7"}
    await get_entry(state, "objective", **reader)
    assert "RunLabelled" not in types(state)
    await get_entry(state, "analysis")
    await client.call(state.stub.ListEntries, pb.ListEntriesRequest(task_id="task-1"), cause())
    assert "RunLabelled" not in types(state)  # somebody who looks on is no run
    for _ in range(2):
        await get_entry(state, "analysis", **reader)
    assert types(state).count("RunLabelled") == 1
    assert list((await look(state)).labels) == ["customer", "secret"]
    request = pb.ListEntriesRequest(task_id="task-1", agent_id="sre-2", run_id="run-8")
    await client.call(state.stub.ListEntries, request, cause())
    assert types(state).count("RunLabelled") == 2
    assert (await verify(state)).equal


async def test_who_reads_as_a_run_has_to_be_one_and_may_not_be_a_viewer(state: Running) -> None:
    await join(state, "sre-1")
    await put_entry(state, "analysis", "1", labels=["secret"])
    for reader in ({"agent_id": "sre-1"}, {"run_id": "run-7"}, {"agent_id": "ghost", "run_id": "run-7"}):
        with pytest.raises((Invalid, NotFound)):
            await get_entry(state, "analysis", **reader)
    request = pb.GetEntryRequest(
        task_id="task-1", section="problem", key="analysis", agent_id="sre-1", run_id="run-7"
    )
    with pytest.raises(Denied):
        await client.call(state.stub.GetEntry, request, cause(), roles=("viewer",))


async def test_many_writers_in_two_processes_lose_no_update(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    await join(state, "sre-1")
    await put_entry(state, "count", "0", section="progress")
    async with serving(state.log, valkey_server.url, tmp_path / "other") as other:
        await other.follower.reached(await state.log.last_sequence())

        async def count(where: Running) -> int:
            refused = 0
            for _ in range(10):
                while True:
                    entry = await get_entry(where, "count", "progress")
                    try:
                        await put_entry(
                            where,
                            "count",
                            str(json.loads(entry.value) + 1),
                            section="progress",
                            expected_version=entry.version,
                        )
                        break
                    except Conflict:
                        refused += 1
            return refused

        refused = await asyncio.gather(*(count(where) for where in (state, other) for _ in range(3)))
        assert sum(refused) > 0
        last = await state.log.last_sequence()
        for where in (state, other):
            entry = await get_entry(where, "count", "progress", at_least_sequence=last)
            assert (entry.value, entry.version) == ("60", 61)
        assert (await verify(state)).equal


async def test_each_tenant_has_its_own_board(state: Running) -> None:
    await issue(state)
    await issue(state, tenant="acme")
    await put_entry(state, "analysis", '"ours"', actor="key:boss")
    await put_entry(state, "analysis", '"theirs"', actor="key:boss", tenant="acme")
    request = pb.GetEntryRequest(task_id="task-1", section="problem", key="analysis")
    for tenant, value in (("default", '"ours"'), ("acme", '"theirs"')):
        found = await client.call(state.stub.GetEntry, request, cause(tenant=tenant))
        assert found.entry.value == value
    with pytest.raises(NotFound):
        await client.call(state.stub.GetEntry, request, cause(tenant="nobody"))


async def test_a_full_board_says_so(state: Running) -> None:
    large = '"' + "x" * (MAX_VALUE_BYTES - 2) + '"'
    await issue(state)
    for n in range(64):
        await put_entry(state, f"k{n}", large, actor="key:boss")
    with pytest.raises(Exhausted) as caught:
        await put_entry(state, "one-more", large, actor="key:boss")
    assert caught.value.reason == "BOARD_FULL"
    assert (await verify(state)).equal


async def test_a_board_is_in_memory_once(state: Running) -> None:
    await issue(state)
    for n in range(3):
        await put_entry(state, f"k{n}", '"a long text"', actor="key:boss")
    key = ("default", "task-1")
    await state.follower.reached(await state.log.last_sequence())

    def one() -> bool:
        return state.view.boards[key] is state.kept.boards.current(*key)

    await until(one, "what is mirrored is a copy of what is decided on")


async def test_a_request_that_was_refused_is_refused_however_often_and_counts_under_a_new_token(
    state: Running,
) -> None:
    token = (await join(state, "sre-1"))["sre-1"]
    with pytest.raises(Refused):
        await put_entry(state, "analysis", "2", fencing_token=token + 1, request_id="once")
    for n in range(100):
        with pytest.raises(Refused):
            await put_entry(state, "analysis", "2", fencing_token=token + 1, request_id=f"other-{n}")
    with pytest.raises(Refused):
        await put_entry(state, "analysis", "2", fencing_token=token + 1, request_id="once")
    await put_entry(state, "analysis", "2", fencing_token=token, request_id="once")
    assert (await get_entry(state, "analysis")).value == "2"
