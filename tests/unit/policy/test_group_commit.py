"""Group commit: who shares an event, what happens when it is not written, and that nobody is told too early."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from kernel.events import Appended, Cause, Head, Recorded, Stream
from kernel.faults import AppendConflict, Exhausted, Unavailable
from kernel.ports import Guard
from services.policy.adapters.group_commit import GroupCommit
from services.policy.adapters.grouping import MAX_EVENT_BYTES
from services.policy.domain.action import Mode
from services.policy.domain.decision import DecisionRecord, DecisionsMade, Verdict
from services.policy.domain.tier import Tier
from tests.unit.policy.words import ACTION, AT

CAUSE = Cause("default", "r", "service:x", AT, "run-1")


class GatedLog:
    """Keeps what is appended; answers when the test lets it."""

    def __init__(self) -> None:
        self.appended: list[tuple[Stream, DecisionsMade, Head, Cause]] = []
        self.at: list[float] = []
        self.arrived: asyncio.Queue[None] = asyncio.Queue()
        self.answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def append(
        self,
        stream: Stream,
        events: Sequence[object],
        *,
        after: Head,
        cause: Cause,
        guard: Guard | None = None,
    ) -> Appended:
        (event,) = events
        assert isinstance(event, DecisionsMade)
        self.appended.append((stream, event, after, cause))
        self.at.append(asyncio.get_running_loop().time())
        self.arrived.put_nowait(None)
        answer = await self.answers.get()
        if answer is not None:
            raise answer
        return Appended(100 + len(self.appended), ())

    async def load(self, stream: Stream) -> Sequence[Recorded]:
        return []

    async def last_sequence(self) -> int:
        return 0

    def answer(self, fault: Exception | None = None) -> None:
        self.answers.put_nowait(fault)

    @property
    def groups(self) -> list[list[str]]:
        return [[each.decision_id for each in event.decisions] for _, event, _, _ in self.appended]


def record(decision_id: str, explanation: str = "because.") -> DecisionRecord:
    return DecisionRecord(
        decision_id, "sre-1", "run-1", "task-1", ACTION, Mode.AUTO, Verdict.ALLOW, "tier.T0_OBSERVER",
        "ALLOWED_BY_TIER", explanation, Tier.T1_OPERATOR, "1", "sha256:00", "", "1.0", AT,
    )  # fmt: skip


@pytest.fixture
async def log() -> GatedLog:
    return GatedLog()


@pytest.fixture
async def commits(log: GatedLog) -> AsyncIterator[GroupCommit]:
    made = GroupCommit(log)
    yield made
    for _ in range(10):
        log.answer()
    await made.stop()


def begin(commits: GroupCommit, *ids: str, tenant: str = "default") -> "list[asyncio.Task[int]]":
    cause = replace(CAUSE, tenant=tenant)
    return [asyncio.create_task(commits.commit([record(each)], cause)) for each in ids]


async def test_whoever_comes_while_a_group_is_being_written_is_in_the_next(
    log: GatedLog, commits: GroupCommit
) -> None:
    first = begin(commits, "a")
    await log.arrived.get()
    rest = begin(commits, "b", "c", "d")
    await asyncio.sleep(0)
    assert log.groups == [["a"]]
    assert not first[0].done()
    log.answer()
    assert await first[0] == 101
    await log.arrived.get()
    assert log.groups == [["a"], ["b", "c", "d"]]
    assert not any(task.done() for task in rest)
    log.answer()
    assert await asyncio.gather(*rest) == [102] * 3
    assert [after for _, _, after, _ in log.appended] == [Head(0, 0), Head(101, 1)]
    assert log.appended[0][0] == log.appended[1][0]


async def test_what_was_not_written_is_told_and_the_next_group_begins_anew(
    log: GatedLog, commits: GroupCommit
) -> None:
    for fault in (Unavailable("LOG_UNREACHABLE", "gone"), AppendConflict("x", 0), RuntimeError("a bug")):
        failed = begin(commits, "a", "b")
        await log.arrived.get()
        log.answer(fault)
        for outcome in await asyncio.gather(*failed, return_exceptions=True):
            assert isinstance(outcome, Unavailable)
            assert outcome.reason == "LOG_UNREACHABLE"
    log.answer()
    assert await commits.commit([record("c")], CAUSE) == 104
    streams = [stream.id for stream, _, _, _ in log.appended]
    assert len(set(streams)) == 4
    assert all(after == Head(0, 0) for _, _, after, _ in log.appended)


async def test_a_full_log_is_said_to_be_full(log: GatedLog, commits: GroupCommit) -> None:
    log.answer(Exhausted("LOG_FULL", "full"))
    with pytest.raises(Exhausted):
        await commits.commit([record("a")], CAUSE)


async def test_tenants_do_not_share_and_do_not_wait_for_each_other(
    log: GatedLog, commits: GroupCommit
) -> None:
    begin(commits, "a")
    begin(commits, "b", tenant="other")
    await log.arrived.get()
    await log.arrived.get()
    assert sorted(stream.tenant for stream, _, _, _ in log.appended) == ["default", "other"]


async def test_a_group_never_outgrows_an_event(log: GatedLog, commits: GroupCommit) -> None:
    begin(commits, "first")
    await log.arrived.get()
    big = "x" * (MAX_EVENT_BYTES // 2)
    tasks = [asyncio.create_task(commits.commit([record(each, big)], CAUSE)) for each in "abc"]
    for _ in range(4):
        log.answer()
    await asyncio.gather(*tasks)
    assert log.groups == [["first"], ["a"], ["b"], ["c"]]
    with pytest.raises(Exhausted):
        await commits.commit([record("a", big), record("b", big)], CAUSE)


async def test_a_caller_that_goes_away_takes_nobody_along(log: GatedLog, commits: GroupCommit) -> None:
    gone, stays = begin(commits, "a", "b")
    await log.arrived.get()
    gone.cancel()
    log.answer()
    assert await stays == 101


async def test_the_event_names_the_run_that_all_have_in_common(log: GatedLog, commits: GroupCommit) -> None:
    both = begin(commits, "a", "b")
    await log.arrived.get()
    other = [asyncio.create_task(commits.commit([record(n)], replace(CAUSE, correlation_id=n))) for n in "cd"]
    log.answer()
    log.answer()
    await asyncio.gather(*both, *other)
    assert [cause.correlation_id for _, _, _, cause in log.appended] == ["run-1", ""]
    assert {cause.actor for _, _, _, cause in log.appended} == {"service:policy"}
