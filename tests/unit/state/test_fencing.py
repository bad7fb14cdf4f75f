"""Who may still speak for an agent: its newest run, and nobody that has lost the lock to that one."""

import pytest

from kernel.faults import Fault
from services.state.domain.attention import AgentWaits, ReportWaiting, Waiting, WaitingKind
from services.state.domain.errors import ErrorRecorded, RecordError
from services.state.domain.faults import FieldInvalid
from services.state.domain.lock import ForceReleaseLock, StaleTokenRefused
from tests.unit.state.worlds import Worked, acquire, advance, at, release

APPROVAL = Waiting(WaitingKind.APPROVAL, "approval-1", at(50))


def says(
    run_id: str, token: int = 0, waiting: Waiting | None = APPROVAL, task: str = "task-1"
) -> ReportWaiting:
    return ReportWaiting("sre-1", task, run_id, waiting, at(50), token, "service:x")


def errs(token: int = 0, run_id: str = "run-1") -> RecordError:
    return RecordError("sre-1", "task-1", run_id, "TIMEOUT", "", False, at(50), token, "service:x")


def taken(*holders: str) -> tuple[Worked, list[int]]:
    """An agent that one run after the other took, each when the lease of the one before was over; their tokens."""
    worked, tokens = Worked().packed(), list[int]()
    for n, holder in enumerate(holders):
        worked.does(acquire(holder, n * 40))
        tokens.append(worked.sequence)
    return worked, tokens


@pytest.mark.parametrize("waiting", [APPROVAL, None])
@pytest.mark.parametrize("shows_its_token", [True, False])
def test_a_run_that_lost_its_lock_speaks_no_more_for_its_agent(
    waiting: Waiting | None, shows_its_token: bool
) -> None:
    worked, (old, new) = taken("run-1", "run-2")
    worked.does(says("run-2", new))
    mine = worked.agent.waits
    refused = worked.does(says("run-1", old if shows_its_token else 0, waiting))
    assert refused == StaleTokenRefused("sre-1", old if shows_its_token else 0, new, "service:x", at(50))
    assert worked.agent.waits is mine is not None


@pytest.mark.parametrize("shows_its_token", [True, False])
def test_the_holder_says_what_it_waits_for_also_when_its_lease_is_over(shows_its_token: bool) -> None:
    worked, (token,) = taken("run-1")
    assert isinstance(worked.does(says("run-1", token if shows_its_token else 0)), AgentWaits)
    worked.does(advance(token, 51, "VERIFY"))
    assert worked.agent.waits is None


@pytest.mark.parametrize("given_back", [True, False])
def test_a_token_speaks_for_no_other_run_than_its_own(given_back: bool) -> None:
    worked, (_, token) = taken("run-1", "run-2")
    if given_back:
        worked.does(release(token, 41, "run-2"))
    with pytest.raises(FieldInvalid) as caught:
        worked.does(says("run-1", token))
    assert caught.value.facts["field"] == "run_id"
    for own in ("", "run-2"):
        assert isinstance(worked.does(says(own, token)), AgentWaits)


def test_a_report_of_no_run_is_not_the_holders() -> None:
    worked, _ = taken("run-1")
    assert isinstance(worked.does(says("")), StaleTokenRefused)


def test_who_gave_its_lock_back_says_what_it_waits_for_until_another_has_it() -> None:
    worked, (token,) = taken("run-1")
    worked.does(release(token, 1))
    assert isinstance(worked.does(says("run-1", token)), AgentWaits)
    worked.does(acquire("run-2", 2))
    assert isinstance(worked.does(says("run-1", token)), StaleTokenRefused)
    worked.does(release(worked.agent.lock.fencing_token if worked.agent.lock else 0, 3, "run-2"))
    assert isinstance(worked.does(says("run-1", token)), StaleTokenRefused)


def test_a_token_that_was_taken_away_speaks_no_more() -> None:
    worked, (token,) = taken("run-1")
    worked.does(ForceReleaseLock("sre-1", "it hangs", "key:ops", at(1)))
    assert isinstance(worked.does(says("run-1", token)), StaleTokenRefused)


def test_while_nobody_holds_the_lock_anybody_may_report_without_a_token() -> None:
    worked = Worked().packed()
    assert isinstance(worked.does(says("run-1")), AgentWaits)
    worked.does(acquire("run-2", 0))
    worked.does(release(worked.sequence, 1, "run-2"))
    assert isinstance(worked.does(says("run-1")), AgentWaits)


def test_a_token_where_there_never_was_a_lock_is_refused() -> None:
    refused = Worked().packed().does(says("run-1", 7))
    assert isinstance(refused, StaleTokenRefused)
    assert (refused.presented_token, refused.current_token) == (7, 0)


def test_a_lock_speaks_for_its_own_task() -> None:
    worked, (token,) = taken("run-1")
    for shown in (token, 0):
        with pytest.raises(Fault) as caught:
            worked.does(says("run-1", shown, task="task-2"))
        assert caught.value.facts["field"] == "task_id"


def test_an_error_under_a_stale_token_is_not_counted_against_the_one_who_holds_it_now() -> None:
    worked, (old, new) = taken("run-1", "run-2")
    assert worked.does(errs(old)) == StaleTokenRefused("sre-1", old, new, "service:x", at(50))
    assert worked.agent.errors.total == 0
    assert isinstance(worked.does(errs(new, "run-2")), ErrorRecorded)
    assert isinstance(worked.does(errs()), ErrorRecorded), (
        "without a token it counts: nobody gets past the budget"
    )
    assert worked.agent.errors.total == 2


def test_an_error_counts_after_the_lock_was_given_back() -> None:
    worked, (token,) = taken("run-1")
    worked.does(release(token, 1))
    assert isinstance(worked.does(errs(token)), ErrorRecorded)
