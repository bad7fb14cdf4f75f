"""One holder per lock, told by its token; what is late is refused, and said so."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernel.faults import Fault
from services.state.domain.errors import RecordError
from services.state.domain.faults import FieldInvalid
from services.state.domain.lock import AgentAdvanced, LockAcquired, LockReleased, StaleTokenRefused
from services.state.domain.packet import IssuePacket, Packet
from tests.unit.state.worlds import Worked, acquire, advance, at, fold, packet, release


def refused(worked: Worked, command: object) -> str:
    with pytest.raises(Fault) as caught:
        worked.does(command)  # type: ignore[arg-type]
    return caught.value.reason


def test_the_token_is_where_the_lock_was_acquired() -> None:
    worked = Worked().packed()
    assert isinstance(worked.does(acquire("run-1", 0)), LockAcquired)
    assert worked.agent.lock is not None
    assert worked.agent.lock.fencing_token == worked.sequence == 6


def test_the_holder_asks_again_and_nothing_happens() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    assert worked.does(acquire("run-1", 29.9)) is None
    assert len(worked.events) == 2


def test_another_waits_until_the_lease_has_run_out() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    assert refused(worked, acquire("run-2", 29.999)) == "CANNOT_ACQUIRE_LOCK"
    assert isinstance(worked.does(acquire("run-2", 30)), LockAcquired)


def test_what_was_released_can_be_taken_at_once_and_the_old_token_opens_nothing() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    token = worked.sequence
    assert isinstance(worked.does(release(token, 1)), LockReleased)
    assert worked.does(release(token, 1)) is None, "giving it back twice is giving it back"
    assert isinstance(worked.does(advance(token, 2)), StaleTokenRefused)
    assert isinstance(worked.does(acquire("run-2", 2)), LockAcquired)
    assert worked.does(advance(token, 3)) == StaleTokenRefused(
        "sre-1",
        token,
        worked.agent.lock.fencing_token if worked.agent.lock else 0,
        "service:orchestrator",
        at(3),
    )


def test_advancing_renews_the_lease_even_when_it_had_run_out_and_nobody_came() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    token = worked.sequence
    moved = worked.does(advance(token, 100, phase="EXECUTE", lease=20))
    assert isinstance(moved, AgentAdvanced)
    assert (moved.lock_expire_time, worked.agent.phase) == (at(120), "EXECUTE")
    assert refused(worked, acquire("run-2", 119)) == "CANNOT_ACQUIRE_LOCK"


def test_a_token_moves_no_other_run_on_than_its_own() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    with pytest.raises(FieldInvalid) as caught:
        worked.does(replace(advance(worked.sequence, 1), run_id="run-9"))
    assert caught.value.facts["field"] == "run_id"
    assert isinstance(worked.does(advance(worked.sequence, 1)), AgentAdvanced)


@pytest.mark.parametrize(
    ("field", "holder", "task_id"),
    [("holder", "run-9", "task-1"), ("task_id", "run-1", "task-9"), ("task_id", "run-1", "no task!")],
)
def test_a_token_gives_back_no_other_lock_than_that_of_its_run_and_task(
    field: str, holder: str, task_id: str
) -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    with pytest.raises(FieldInvalid) as caught:
        worked.does(release(worked.token, 1, holder, task_id))
    assert caught.value.facts["field"] == field
    assert isinstance(worked.does(release(worked.token, 1, task_id="task-1")), LockReleased)


def test_a_lease_that_is_over_is_not_renewed_once_the_packet_is_of_another_task() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    worked.does(IssuePacket(replace(packet(), objective="the same, told anew"), at(31)))
    assert isinstance(worked.does(advance(worked.token, 32, lease=5)), AgentAdvanced)
    worked.does(IssuePacket(packet("task-2"), at(38)))
    assert isinstance(worked.does(advance(worked.token, 39)), StaleTokenRefused)
    assert isinstance(worked.does(acquire("run-2", 40, task_id="task-2")), LockAcquired)


def test_a_holder_who_slept_past_its_lease_is_refused_once_another_came() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    slept = worked.sequence
    worked.does(acquire("run-2", 31))
    assert isinstance(worked.does(advance(slept, 32)), StaleTokenRefused)
    assert worked.agent.refusals == (worked.sequence,)
    assert worked.agent.lock is not None
    assert worked.agent.lock.holder == "run-2"


@pytest.mark.parametrize("token", [0, 1, 7, 2**63])
def test_a_token_that_was_made_up_opens_nothing(token: int) -> None:
    worked = Worked().packed()
    assert isinstance(worked.does(advance(token, 1)), StaleTokenRefused), "nobody holds it"
    worked.does(acquire("run-1", 1))
    assert isinstance(worked.does(advance(token, 2)), StaleTokenRefused)


def test_no_lock_without_a_packet_for_the_task() -> None:
    worked = Worked()
    assert refused(worked, acquire("run-1", 0)) == "NO_INSTRUCTION_PACKET"
    worked.packed()
    assert refused(worked, acquire("run-1", 0, task_id="task-2")) == "NO_INSTRUCTION_PACKET"


def test_a_revoked_agent_takes_no_lock() -> None:
    worked = Worked().packed()
    assert refused(worked, replace(acquire("run-1", 0), revoked=True)) == "AGENT_REVOKED"


@pytest.mark.parametrize("other", [packet("task-2"), replace(packet(), objective="of another run")])
def test_no_other_packet_while_a_run_is_at_work(other: Packet) -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    worked.does(RecordError("sre-1", "task-1", "run-1", "TIMEOUT", "", False, at(1)))
    assert refused(worked, IssuePacket(other, at(5))) == "CANNOT_ACQUIRE_LOCK"
    assert worked.does(IssuePacket(packet(), at(5))) is None, "its own again is no other"
    assert (worked.agent.packet, worked.agent.errors.total) == (replace(packet(), version=1), 1)
    worked.does(release(worked.token, 6))
    assert worked.does(IssuePacket(other, at(7))) is not None


@pytest.mark.parametrize("lease", [0, -1, 3601])
def test_a_lease_has_bounds(lease: int) -> None:
    assert refused(Worked().packed(), acquire("run-1", 0, lease=lease)) == "FIELD_INVALID"


def test_the_task_is_the_one_the_lock_was_taken_for() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    assert refused(worked, replace(advance(worked.sequence, 1), task_id="task-2")) == "FIELD_INVALID"


class Contention(RuleBasedStateMachine):
    """Several holders, each with the tokens it was ever given, under a clock that jumps both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.worked = Worked().packed()
        self.tokens: dict[str, int] = {}
        self.moment = 0.0
        self.newest = 0
        self.open = False

    @rule(seconds=st.floats(-20, 60))
    def time_passes(self, seconds: float) -> None:
        self.moment += seconds

    @rule(holder=st.sampled_from(["a", "b", "c"]), lease=st.integers(1, 40))
    def acquires(self, holder: str, lease: int) -> None:
        before = self.worked.agent.lock
        alive = before is not None and before.alive(at(self.moment))
        wanted = acquire(holder, self.moment, lease)
        if before is not None and alive and before.holder != holder:
            assert refused(self.worked, wanted) == "CANNOT_ACQUIRE_LOCK"
            return
        event = self.worked.does(wanted)
        if before is not None and alive:
            assert event is None
            assert self.tokens[holder] == before.fencing_token
            return
        assert self.worked.sequence > self.newest, "a token went back"
        self.newest = self.tokens[holder] = self.worked.sequence
        self.open = True

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), lease=st.integers(1, 40))
    def advances(self, data: st.DataObject, lease: int) -> None:
        holder = data.draw(st.sampled_from(sorted(self.tokens)))
        event = self.worked.does(
            replace(advance(self.tokens[holder], self.moment, lease=lease), run_id=holder)
        )
        mine = self.open and self.tokens[holder] == self.newest
        assert isinstance(event, AgentAdvanced if mine else StaleTokenRefused)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def releases(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(sorted(self.tokens)))
        event = self.worked.does(release(self.tokens[holder], self.moment, holder))
        if self.tokens[holder] != self.newest:
            assert isinstance(event, StaleTokenRefused)
        elif self.open:
            assert isinstance(event, LockReleased)
            self.open = False
        else:
            assert event is None

    @invariant()
    def the_log_says_the_same(self) -> None:
        assert fold(self.worked.events) == self.worked.agent


Contention.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestContention = Contention.TestCase
