"""Labels stick to a run, and tokens are shown before anything else is written under a lock."""

from dataclasses import replace

import pytest

from kernel.faults import Fault
from services.state.domain.agent import Agent, decide, evolve
from services.state.domain.labels import (
    ANY_LABEL,
    MAX_LABELS,
    MAX_RUN_LABELS,
    RUNS_KEPT,
    Labelling,
    LabelRun,
    RunLabelled,
)
from services.state.domain.lock import ShowToken, StaleTokenRefused
from tests.unit.state.worlds import T0, Worked, acquire, advance, at, fold, release


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
    worked.does(release(token, 3))
    worked.does(acquire("run-2", 4))
    assert list(worked.agent.labels) == []
    assert labelled(worked.agent, read("other", run_id="run-2")).labels == ("other",)
    assert worked.agent.labelled.of("run-1") == ("secret",)


def test_a_run_that_comes_back_bears_what_it_had_read() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    first = worked.sequence
    worked.does(read("secret"))
    worked.does(release(first, 1))
    worked.does(acquire("run-2", 2))
    second = worked.sequence
    worked.does(replace(advance(second, 3), run_id="run-2"))
    worked.does(read("other", run_id="run-2"))
    worked.does(release(second, 4, "run-2"))
    worked.does(acquire("run-1", 5))
    assert worked.agent.labels == ("secret",)
    worked.does(advance(worked.sequence, 6))
    assert worked.agent.labels == ("secret",)
    assert decide(worked.agent, read("secret")) is None
    assert fold(worked.events) == worked.agent


def test_who_does_not_say_which_run_writes_bears_the_labels_of_both_that_it_may_be() -> None:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0))
    worked.does(read("secret"))
    worked.does(read("other", run_id="run-2"))
    assert worked.agent.labels == ("other", "secret")


def test_of_a_run_that_was_let_go_no_label_is_lost_and_a_new_one_bears_none() -> None:
    runs = [f"run-{n}" for n in range(3 * RUNS_KEPT)]
    agent = Agent()
    for n, run_id in enumerate(runs):
        agent = labelled(agent, read(f"l{n}", run_id=run_id))
    for n, run_id in enumerate(runs):
        assert f"l{n}" in agent.labelled.of(run_id)
    assert len(agent.labelled.runs) == RUNS_KEPT
    assert agent.labelled.of(runs[-1]) == (f"l{len(runs) - 1}",)
    assert len(agent.labelled.every()) == len(runs)
    assert [run_id for run_id in map("new-{}".format, range(100)) if agent.labelled.of(run_id)] == []
    again = decide(agent, read("l1", run_id="run-0"))
    assert isinstance(again, RunLabelled), (
        "others keep the labels of each run by itself: they have to hear of it"
    )
    back = evolve(agent, again)
    assert {"l0", "l1"} <= set(back.labelled.of("run-0"))


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


def test_labels_that_the_set_does_not_have_are_refused_with_those_it_has() -> None:
    with pytest.raises(Fault) as caught:
        Labelling(frozenset({"secret", "personal"}), "2026-11").of(["secret", "secrets"])
    assert caught.value.reason == "LABEL_UNKNOWN"
    assert caught.value.facts == {"label": "secrets", "policy_version": "2026-11"}
    assert "policy set 2026-11 has no label 'secrets'" in caught.value.text
    assert "personal, secret" in caught.value.text
    with pytest.raises(Fault, match="none"):
        Labelling(frozenset(), "3").of(["any"])
    assert ANY_LABEL.of(["any"]) == ("any",)


def test_what_a_run_has_read_goes_where_it_writes_also_when_the_set_has_lost_it() -> None:
    carrying = Labelling(frozenset({"new"}), "2", frozenset({"old"}))
    assert carrying.of(()) == ("old",)
    assert carrying.of(["new", "old"]) == ("new", "old")


@pytest.mark.parametrize("label", ["", "Secret", "1st", "a b", "a" * 65, "é", "a\n", "*"])
def test_a_label_that_is_none_is_refused_by_any_set(label: str) -> None:
    with pytest.raises(Fault) as caught:
        ANY_LABEL.of([label])
    assert (caught.value.reason, caught.value.facts["field"]) == ("FIELD_INVALID", "labels")


def test_what_is_carried_takes_no_room_from_what_is_asked_for() -> None:
    asked = [f"l{n}" for n in range(MAX_LABELS)]
    carried = frozenset(f"c{n}" for n in range(MAX_RUN_LABELS))
    assert len(Labelling(carried=carried).of(asked)) == MAX_LABELS + MAX_RUN_LABELS
    with pytest.raises(Fault, match="at most"):
        ANY_LABEL.of([*asked, "one-more"])
