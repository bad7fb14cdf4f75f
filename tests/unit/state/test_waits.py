"""Several runs of one agent may wait at once: one that waits for people has given the agent back to the others."""

from dataclasses import replace
from datetime import datetime

from services.state.domain.attention import (
    RUNS_WAITING,
    AgentWaits,
    ReportWaiting,
    Waiting,
    WaitingKind,
)
from services.state.domain.lock import StaleTokenRefused
from services.state.domain.packet import IssuePacket
from services.state.domain.snapshot import snapshot
from tests.unit.state.worlds import Worked, acquire, at, fold, packet, release


def for_approval(what: str, until: datetime | None = None) -> Waiting:
    return Waiting(WaitingKind.APPROVAL if until is None else WaitingKind.POLL, what, at(5), until)


def begins(worked: Worked, run_id: str) -> int:
    """A run takes the agent for a task of its own; its token."""
    worked.does(IssuePacket(packet(f"task-of-{run_id}"), at(5)))
    worked.does(acquire(run_id, 5, task_id=f"task-of-{run_id}"))
    return worked.token


def says(run_id: str, token: int, waiting: Waiting | None) -> ReportWaiting:
    return ReportWaiting("sre-1", f"task-of-{run_id}", run_id, waiting, at(5), token, "service:x")


def lets_go(worked: Worked, run_id: str) -> int:
    """It works, gives the agent back and waits for a person; its token, which is another's by then."""
    token = begins(worked, run_id)
    worked.does(release(token, 5, run_id))
    worked.does(says(run_id, token, for_approval(f"approval of {run_id}")))
    return token


def seen(worked: Worked, seconds: float = 6) -> tuple[str, list[str]]:
    """What the agent is said to wait for, and which of its runs wait."""
    told = snapshot(worked.agent, None, at(seconds))
    return told.waiting.what if told.waiting else "", [each.run_id for each in told.waiting_runs]


def test_a_second_wait_does_not_hide_the_first() -> None:
    worked = Worked()
    lets_go(worked, "run-1")
    assert seen(worked) == ("approval of run-1", ["run-1"])
    token = begins(worked, "run-2")
    assert seen(worked) == ("", ["run-1"]), "it is at work, and one of its runs waits"
    worked.does(release(token, 5, "run-2"))
    assert seen(worked) == ("approval of run-1", ["run-1"]), "it is idle because that run waits"
    lets_go(worked, "run-3")
    assert seen(worked) == ("approval of run-3", ["run-1", "run-3"])
    assert [each.task_id for each in snapshot(worked.agent, None, at(6)).waiting_runs] == [
        "task-of-run-1",
        "task-of-run-3",
    ]
    assert fold(worked.events) == worked.agent


def test_a_run_that_goes_on_waits_no_more_and_the_other_still_does() -> None:
    worked = Worked()
    lets_go(worked, "run-1")
    lets_go(worked, "run-2")
    begins(worked, "run-1")
    assert seen(worked) == ("", ["run-2"])


def test_a_run_that_ends_while_another_has_its_agent_ends_its_own_wait_alone() -> None:
    worked = Worked()
    first = lets_go(worked, "run-1")
    second = begins(worked, "run-2")
    worked.does(says("run-2", second, for_approval("its own", at(60))))
    ended = worked.does(says("run-1", first, None))
    assert isinstance(ended, AgentWaits)
    assert (ended.run_id, ended.waiting) == ("run-1", None)
    assert seen(worked) == ("its own", ["run-2"])
    assert isinstance(worked.does(says("run-1", first, None)), StaleTokenRefused), "there is nothing to end"
    assert isinstance(worked.does(says("run-1", first, for_approval("again"))), StaleTokenRefused)


def test_a_wait_whose_time_is_over_is_not_shown() -> None:
    worked = Worked()
    token = begins(worked, "run-1")
    worked.does(says("run-1", token, for_approval("an effect", at(40))))
    worked.does(replace(acquire("run-2", 36), task_id="task-of-run-1"))
    assert seen(worked, 39)[1] == ["run-1"]
    assert seen(worked, 41)[1] == []


def test_no_more_waits_are_kept_than_there_is_room_for() -> None:
    worked = Worked()
    for n in range(RUNS_WAITING + 3):
        lets_go(worked, f"run-{n}")
    waiting = seen(worked)[1]
    assert (len(waiting), waiting[-1]) == (RUNS_WAITING + 1, f"run-{RUNS_WAITING + 2}")
