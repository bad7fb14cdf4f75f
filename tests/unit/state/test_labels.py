"""Labels stick to a run, and tokens are shown before anything else is written under a lock."""

import pytest

from kernel.faults import Fault
from services.state.domain.agent import Agent, decide, evolve
from services.state.domain.labels import MAX_RUN_LABELS, LabelRun, RunLabelled
from services.state.domain.lock import ShowToken, StaleTokenRefused
from tests.unit.state.worlds import T0, Worked, acquire, advance, at, release


def read(*labels: str, run_id: str = "run-1") -> LabelRun:
    return LabelRun("sre-1", run_id, labels, "entry:problem/analysis", T0)


def labelled(agent: Agent, command: LabelRun) -> Agent:
    event = decide(agent, command)
    assert isinstance(event, RunLabelled)
    return evolve(agent, event)


def test_a_run_takes_on_what_is_new_to_it_and_nothing_twice() -> None:
    agent = labelled(Agent(), read("b", "a"))
    assert agent.labels == ("a", "b")
    assert decide(agent, read("a")) is None
    event = decide(agent, read("a", "c"))
    assert isinstance(event, RunLabelled)
    assert (event.labels, event.by_reading) == (("c",), "entry:problem/analysis")
    assert evolve(agent, event).labels == ("a", "b", "c")


def test_the_next_run_begins_without_labels() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    token = worked.sequence
    worked.does(advance(token, 1))
    worked.does(read("secret"))
    worked.does(advance(token, 2, "EXECUTE"))
    assert worked.agent.labels == ("secret",)
    assert labelled(worked.agent, read("other", run_id="run-2")).labels == ("other",)


def test_a_run_takes_on_only_so_many() -> None:
    agent = labelled(Agent(), read(*(f"l{n}" for n in range(MAX_RUN_LABELS))))
    with pytest.raises(Fault) as caught:
        decide(agent, read("one-more"))
    assert caught.value.reason == "FIELD_INVALID"


def test_a_token_opens_while_its_lock_is_held_and_for_its_task() -> None:
    def show(token: int, task_id: str = "task-1") -> ShowToken:
        return ShowToken("sre-1", task_id, token, "service:orchestrator", at(9))

    worked = Worked().packed()
    assert isinstance(decide(worked.agent, show(1)), StaleTokenRefused)
    worked.does(acquire("run-1", 0))
    token = worked.sequence
    assert decide(worked.agent, show(token)) is None
    with pytest.raises(Fault) as caught:
        decide(worked.agent, show(token, "task-2"))
    assert caught.value.facts["field"] == "task_id"
    for stale in (0, token - 1, token + 1):
        assert isinstance(decide(worked.agent, show(stale)), StaleTokenRefused)
    worked.does(release(token, 5))
    assert isinstance(decide(worked.agent, show(token)), StaleTokenRefused)
