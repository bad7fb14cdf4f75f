"""A task without a log: what its objective asks for, and what is said when it asks for nothing known."""

import re

import pytest
from typer.testing import CliRunner

from provost.orchestrator.v1 import orchestrator_pb2
from provost.state.v1 import state_pb2
from provost_sdk.cli.app import app
from services.orchestrator.agents.objective import AROUND, LOOKS
from services.orchestrator.agents.wire import NOT_KNOWN, think


def proposed(objective: str) -> orchestrator_pb2.Proposal:
    return think(orchestrator_pb2.Task(run_id="r1", packet=state_pb2.Packet(objective=objective)))


def test_an_objective_chooses_among_looks() -> None:
    answer = proposed("Why is the disk full, and is the clock right?")
    assert [each.action.name for each in answer.plan] == ["diagnostics.disk", "ansible.check"]
    assert not answer.cycles


@pytest.mark.parametrize("objective", ["order me a pizza", ""])
def test_of_an_objective_that_is_not_understood_this_is_said(objective: str) -> None:
    answer = proposed(objective)
    assert [each.action.name for each in answer.plan] == [look.action for look in AROUND]
    assert [(cycle.belief, cycle.score) for cycle in answer.cycles] == [(NOT_KNOWN, 0)]


def test_the_command_line_lists_the_words_that_are_known() -> None:
    told = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    listed = re.sub(r"[\s│]+", " ", told).partition("when there is none: ")[2].partition(".")[0]
    stems = [stem for look in LOOKS for stem in look.words.pattern[len(r"\b(?:") : -1].split("|")]
    assert re.findall(r"\w+", listed) == [stem.replace(" ?", "") for stem in stems]
