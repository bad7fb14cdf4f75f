"""Packets and error counts."""

from dataclasses import replace

import pytest

from kernel.faults import Fault
from services.state.domain.agent import AGENT
from services.state.domain.errors import (
    MAX_ERROR_TYPES,
    MAX_MESSAGE_CHARACTERS,
    OTHER_ERRORS,
    RUNS_SET_ASIDE,
    ErrorRecorded,
    RecordError,
)
from services.state.domain.packet import Constraints, ErrorBudget, IssuePacket, Packet
from tests.unit.state.worlds import T0, Worked, acquire, advance, at, fold, packet, release


def error(error_type: str, *, violation: bool = False, message: str = "") -> RecordError:
    return RecordError("sre-1", "task-1", "run-1", error_type, message, violation, at(1))


def test_errors_are_counted_by_type_and_violations_apart() -> None:
    worked = Worked().packed()
    for error_type in ("TIMEOUT", "TIMEOUT", "EXIT_CODE", "TIMEOUT"):
        worked.does(error(error_type))
    worked.does(error("FORBIDDEN", violation=True))
    errors = worked.agent.errors
    assert (errors.total, errors.same_error_repeats, errors.procedure_violations) == (4, 3, 1)
    assert errors.by_type == {"TIMEOUT": 3, "EXIT_CODE": 1}


def test_counts_begin_anew_with_a_packet() -> None:
    worked = Worked().packed()
    worked.does(error("TIMEOUT"))
    assert worked.does(IssuePacket(packet(), at(2))) is None, "the same packet again is no new one"
    assert worked.agent.errors.total == 1
    worked.does(IssuePacket(replace(packet(), created_at=at(3)), at(3)))
    assert worked.agent.errors == AGENT.initial.errors


def test_made_up_types_are_counted_without_end_but_not_kept_without_end() -> None:
    worked = Worked().packed()
    for n in range(MAX_ERROR_TYPES + 10):
        worked.does(error(f"E{n}"))
    errors = worked.agent.errors
    assert errors.total == MAX_ERROR_TYPES + 10
    assert len(errors.by_type) == MAX_ERROR_TYPES + 1
    assert (errors.by_type[OTHER_ERRORS], errors.same_error_repeats) == (10, 10)


def test_a_long_message_is_cut_so_that_its_error_counts() -> None:
    event = Worked().packed().does(error("TIMEOUT", message="x" * 100_000))
    assert isinstance(event, ErrorRecorded)
    assert len(event.message) == MAX_MESSAGE_CHARACTERS


@pytest.mark.parametrize("error_type", ["", "two words", "x" * 129, "line\nbreak"])
def test_an_error_type_is_a_name(error_type: str) -> None:
    with pytest.raises(Fault) as caught:
        Worked().packed().does(error(error_type))
    assert (caught.value.reason, caught.value.facts["field"]) == ("FIELD_INVALID", "error_type")


def test_a_packet_has_the_usual_error_budget() -> None:
    assert packet().error_budget == ErrorBudget(8, 2, 1)


SOUND = packet()
UNSOUND: list[tuple[str, Packet]] = [
    ("packet.agent_id", replace(SOUND, agent_id="")),
    ("packet.agent_id", replace(SOUND, agent_id="a" * 65)),
    ("packet.agent_id", replace(SOUND, agent_id="a.b")),
    ("packet.task_id", replace(SOUND, task_id="a b")),
    ("packet.objective", replace(SOUND, objective=" \n")),
    ("packet.objective", replace(SOUND, objective="x" * 4001)),
    ("packet.created_for", replace(SOUND, created_for="x" * 201)),
    ("packet.deliverables", replace(SOUND, deliverables=("x",) * 65)),
    ("packet.deliverables", replace(SOUND, deliverables=("",))),
    ("packet.constraints.scope", replace(SOUND, constraints=Constraints(scope=("x" * 201,)))),
    ("packet.constraints.forbidden", replace(SOUND, constraints=Constraints(forbidden=("a", " ")))),
    (
        "packet.constraints.required_steps",
        replace(SOUND, constraints=Constraints(required_steps=("x" * 129,))),
    ),
    ("packet.success_criteria", replace(SOUND, success_criteria=("x" * 1001,))),
    ("packet.escalation_rules", replace(SOUND, escalation_rules=("x",) * 65)),
    ("packet.error_budget.max_total_errors", replace(SOUND, error_budget=ErrorBudget(0, 2, 1))),
    ("packet.error_budget.max_same_error_repeats", replace(SOUND, error_budget=ErrorBudget(8, -1, 1))),
    ("packet.error_budget.max_procedure_violations", replace(SOUND, error_budget=ErrorBudget(8, 2, 1001))),
    ("packet.objective", replace(SOUND, deliverables=("x" * 1000,) * 64, success_criteria=("y" * 1000,) * 5)),
]


@pytest.mark.parametrize(("field", "unsound"), UNSOUND, ids=[f"{n} {f}" for n, (f, _) in enumerate(UNSOUND)])
def test_a_packet_out_of_bounds_names_the_field(field: str, unsound: Packet) -> None:
    with pytest.raises(Fault) as caught:
        Worked().does(IssuePacket(unsound, T0))
    assert (caught.value.reason, caught.value.facts["field"]) == ("PACKET_INVALID", field)


def interrupted(worked: Worked, by: str = "run-2", errors: tuple[str, ...] = ()) -> None:
    """A run with a packet of its own has the agent for a while, as when the one before it waits for people."""
    worked.does(IssuePacket(replace(packet(f"task-of-{by}"), created_at=at(9)), at(9)))
    worked.does(acquire(by, 9, task_id=f"task-of-{by}"))
    for error_type in errors:
        worked.does(replace(error(error_type), run_id=by))
    worked.does(release(worked.token, 9, by))


def resumed(worked: Worked, run_id: str = "run-1") -> None:
    worked.does(IssuePacket(packet(), at(10)))
    worked.does(acquire(run_id, 10))


def test_a_run_that_goes_on_finds_its_errors_again() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    worked.does(error("TIMEOUT"))
    worked.does(error("FORBIDDEN", violation=True))
    worked.does(release(worked.token, 2))
    own = worked.agent.errors
    interrupted(worked, errors=("TIMEOUT", "OTHER"))
    assert worked.agent.errors.total == 2, "its own alone"
    resumed(worked)
    assert worked.agent.errors == own
    worked.does(error("TIMEOUT"))
    assert (worked.agent.errors.same_error_repeats, worked.agent.errors.procedure_violations) == (2, 1)
    assert fold(worked.events) == worked.agent


def test_a_run_that_is_put_aside_twice_has_all_of_its_errors() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    for error_type in ("TIMEOUT", "OTHER", "TIMEOUT"):
        worked.does(error(error_type))
    worked.does(release(worked.token, 2))
    worked.does(IssuePacket(replace(packet("task-2"), created_at=at(9)), at(9)))
    worked.does(error("TIMEOUT"))  # one that comes late: nobody has taken the agent since
    resumed(worked)
    assert worked.agent.errors.by_type == {"TIMEOUT": 3, "OTHER": 1}


@pytest.mark.parametrize("given_back", [True, False], ids=["gave its agent back", "lets its lease run out"])
def test_until_another_run_has_the_agent_errors_are_those_of_the_run_whose_token_is_shown(
    given_back: bool,
) -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    token = worked.token
    worked.does(error("TIMEOUT"))
    if given_back:
        worked.does(release(token, 2))
    worked.does(IssuePacket(packet("task-2"), at(40)))
    worked.does(replace(error("TIMEOUT"), fencing_token=token))
    worked.does(replace(error("FORBIDDEN", violation=True), fencing_token=token))
    if not given_back:
        worked.does(advance(token, 41, lease=1))
        worked.does(replace(error("TIMEOUT"), fencing_token=token))
    assert worked.agent.spent("run-2") == AGENT.initial.errors
    own = worked.agent.spent("run-1")
    assert (own.by_type, own.procedure_violations) == ({"TIMEOUT": 2 + (not given_back)}, 1)
    worked.does(acquire("run-2", 50, task_id="task-2"))
    assert worked.agent.errors == AGENT.initial.errors, "whoever comes next begins anew"
    worked.does(replace(error("OTHER"), run_id="run-2", task_id="task-2", fencing_token=worked.token))
    assert worked.agent.errors.by_type == {"OTHER": 1}
    worked.does(release(worked.token, 51, "run-2"))
    resumed(worked)
    assert worked.agent.errors == own
    assert fold(worked.events) == worked.agent


def test_types_made_up_under_a_packet_that_was_followed_swell_no_agent() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    worked.does(IssuePacket(packet("task-2"), at(40)))
    for n in range(MAX_ERROR_TYPES + 3):
        worked.does(error(f"E{n}"))
    assert len(worked.agent.spent("run-1").by_type) == MAX_ERROR_TYPES + 1
    assert worked.agent.spent("run-1").total == MAX_ERROR_TYPES + 3


def test_another_run_with_a_packet_of_its_own_begins_anew() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    worked.does(error("TIMEOUT"))
    worked.does(release(worked.token, 2))
    interrupted(worked)
    resumed(worked, "run-3")
    assert worked.agent.errors == AGENT.initial.errors


def test_what_is_counted_before_a_run_has_its_agent_again_counts_besides() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    worked.does(error("TIMEOUT"))
    worked.does(release(worked.token, 2))
    interrupted(worked)
    worked.does(IssuePacket(packet(), at(10)))
    worked.does(error("TIMEOUT"))
    worked.does(acquire("run-1", 10))
    assert worked.agent.errors.by_type == {"TIMEOUT": 2}
    assert (worked.agent.errors.total, worked.agent.errors.same_error_repeats) == (2, 2)


def test_no_more_runs_are_remembered_than_there_is_room_for() -> None:
    worked = Worked().packed()
    for n in range(RUNS_SET_ASIDE + 3):
        interrupted(worked, f"run-{n}", ("TIMEOUT",))
    worked.does(IssuePacket(packet("task-2"), at(20)))
    assert len(worked.agent.set_aside) == RUNS_SET_ASIDE
    assert f"run-{RUNS_SET_ASIDE + 2}" in worked.agent.set_aside
