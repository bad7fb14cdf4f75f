"""Who is shown what, cursors, and the queue that watches share."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.state.domain.board import Entry, EntryPut
from services.state.domain.faults import CursorInvalid
from services.state.domain.inbox import Message, MessagesAcknowledged, MessageSent
from services.state.domain.lately import Lately
from services.state.domain.lock import AgentAdvanced
from services.state.domain.revocation import AgentRevoked
from services.state.domain.watching import (
    Acknowledgement,
    Concern,
    Interest,
    Mail,
    Whose,
    concern,
    cursor_of,
    interest,
    shown_to,
)
from tests.unit.state.worlds import T0

ADVANCED = AgentAdvanced("sre-1", "task-1", "run-1", "PLAN", "", 3, T0, T0 + timedelta(seconds=60))


def of_agent(name: str) -> Concern:
    return Concern(("agent", name), ("task-1",), (name,), None)


def entry(key: str, value: str = "1") -> Concern:
    made = Entry("task-1", "progress", key, value, "sre-1", 1, T0)
    return Concern(("entry", "task-1", "progress", key), ("task-1",), ("sre-1",), made)


def test_a_filter_is_for_a_task_an_agent_or_both() -> None:
    tasks, agents = ("task-1", "task-0"), ("sre-1",)
    assert Interest("default").wants((), ())
    assert Interest("default", "task-0").wants(tasks, agents)
    assert Interest("default", "", "sre-1").wants(tasks, agents)
    assert Interest("default", "task-1", "sre-1").wants(tasks, agents)
    assert not Interest("default", "task-2").wants(tasks, agents)
    assert not Interest("default", "task-1", "sre-2").wants(tasks, agents)


def test_a_change_concerns_its_task_and_everybody_in_it() -> None:
    def tasks_of(tenant: str, agent_id: str) -> tuple[str, ...]:
        return {("default", "sre-1"): ("task-1",)}[tenant, agent_id]

    def between(tenant: str, task_id: str, message_ids: tuple[str, ...]) -> tuple[str, ...]:
        assert (tenant, task_id, message_ids) == ("default", "task-1", ("m-1",))
        return ("key-boss",)

    found = concern("default", "sre-1", ADVANCED, 7, tasks_of, between)
    assert found == Concern(("agent", "sre-1"), ("task-1",), ("sre-1",), None)
    put = Entry("task-1", "progress", "disk", '"full"', "sre-1", 1, T0)
    found = concern("default", "task-1", EntryPut(put), 8, tasks_of, between)
    assert found is not None
    assert isinstance(found.what, Entry)
    assert (found.tasks, found.agents, found.what.sequence) == (("task-1",), ("sre-1",), 8)
    sent = Message("m-1", "task-1", "sre-1", "", "STATUS", "1", "", T0, recipients=("dba-1", "sre-2"))
    found = concern("default", "task-1", MessageSent(sent), 9, tasks_of, between)
    assert found is not None
    assert found.agents == ("sre-1", "dba-1", "sre-2")
    assert found.what == Mail(replace(sent, sequence=9), ("dba-1", "sre-2"))
    read = MessagesAcknowledged("task-1", "dba-1", 9, ("m-1",), T0)
    found = concern("default", "task-1", read, 12, tasks_of, between)
    assert found is not None
    assert found.what == Acknowledgement("task-1", "dba-1", ("m-1",), T0)
    assert (found.tasks, set(found.agents)) == (("task-1",), {"dba-1", "key-boss"})
    assert found.name[-1] == "12", "none takes the place of another"
    revoked = AgentRevoked("sre-1", "OTHER", "", "key:x", T0)
    found = concern("default", "sre-1", revoked, 10, tasks_of, between)
    assert found == Concern(("revocation", "sre-1"), ("task-1",), ("sre-1",), revoked)
    assert concern("default", "task-1", object(), 11, tasks_of, between) is None


def test_a_departure_is_told_to_those_alone_who_no_longer_see_the_thing() -> None:
    now = Concern(("entry", "task-1", "progress", "disk"), ("task-1",), ("sre-2",), None)
    (left,) = now.departures(Whose(("task-1",), "sre-1"))
    assert left.name[: len(now.name)] == now.name != left.name
    assert left.wanted(Interest("default", "", "sre-1"))
    assert left.wanted(Interest("default", "task-1", "sre-1"))
    for told in (Interest("default"), Interest("default", "task-1"), Interest("default", "", "sre-2")):
        assert now.wanted(told)
        assert not left.wanted(told), "it would be told twice of one event"
    assert not left.wanted(Interest("default", "task-2", "sre-1"))
    message = Concern(("message", "task-1", "m-1"), ("task-1",), ("sre-1", "sre-2"), None)
    assert message.whose is None, "nor can it ever be another's"


def test_a_cursor_is_of_one_tenant_and_one_filter() -> None:
    mine = interest("default", "task-1", "")
    cursor = cursor_of(mine, 42)
    assert shown_to(mine, cursor) == 42
    for other in (
        interest("other", "task-1", ""),
        interest("default", "", ""),
        interest("default", "", "task-1"),
    ):
        with pytest.raises(CursorInvalid):
            shown_to(other, cursor)


@pytest.mark.parametrize("cursor", ["x", "é", "e30", "WyJ4Iiwx", "[" * 5000, "bnVsbA", "W10", "Ww" * 3000])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        shown_to(interest("default", "", ""), cursor)


def test_of_a_thing_the_last_change_is_kept() -> None:
    recent = Lately(0)
    for sequence, name in enumerate(("sre-1", "sre-2", "sre-1"), start=1):
        assert recent.take(of_agent(name), sequence)[1] == []
    assert [(each.sequence, each.concern.name[1]) for each in recent.newest_first()] == [
        (3, "sre-1"),
        (2, "sre-2"),
    ]
    assert recent.forgotten == 0


def test_the_oldest_are_let_go_beyond_a_number_of_things() -> None:
    recent = Lately(0, max_things=2)
    gone = [recent.take(of_agent(f"sre-{n}"), n)[1] for n in range(1, 5)]
    assert [[each.sequence for each in some] for some in gone] == [[], [], [1], [2]]
    assert recent.forgotten == 2
    assert [each.sequence for each in recent.newest_first()] == [4, 3]


def test_the_oldest_are_let_go_beyond_a_number_of_bytes() -> None:
    recent = Lately(0, max_bytes=100)
    assert recent.take(entry("a", "x" * 60), 1)[1] == []
    assert recent.take(entry("a", "x" * 70), 2)[1] == []
    assert [each.sequence for each in recent.take(entry("b", "x" * 60), 3)[1]] == [2]
    assert [each.sequence for each in recent.newest_first()] == [3]
