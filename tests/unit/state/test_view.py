"""The view, how it lies in the store, and how it is read back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.faults import Fault
from services.state.domain.attention import AgentWaits
from services.state.domain.board import SECTIONS, Entry, EntryPut
from services.state.domain.checkpoints import KEPT, Checkpoint, CheckpointSaved
from services.state.domain.documents import Document, Fields, Listing, comparable, digest, documents, key_of
from services.state.domain.errors import RecordError
from services.state.domain.inbox import Message, MessagesAcknowledged, MessageSent
from services.state.domain.lock import LockAcquired, LockForced, LockReleased, StaleTokenRefused
from services.state.domain.packet import PacketIssued
from services.state.domain.page import after_first, before_last
from services.state.domain.plain import from_json, iso, to_json
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, HeldLock, snapshot
from services.state.domain.task import ArtifactStored, HandoffWritten
from services.state.domain.view import KEPT_PACKETS, Part, Place, View
from tests.unit.state.worlds import T0, Worked, acquire, advance, artifact, at, handoff, packet


def worked_view() -> tuple[View, Worked]:
    worked = Worked().packed()
    worked.does(acquire("run-1", 0, lease=30))
    worked.does(advance(worked.sequence, 5))
    worked.does(RecordError("sre-1", "task-1", "run-1", "TIMEOUT", "", False, at(6)))
    view = View()
    for event in worked.events:
        view.take("default", "sre-1", event.event, event.sequence)
    return view, worked


def contents(view: View) -> dict[str, Any]:
    return {document.key: document.content for document in documents(view, view.places(), whole=True)}


def test_keys_carry_the_tenant_in_their_hash_tag() -> None:
    parts = {
        Place("acme", "sre-1", Part.LOCK): "agent:{acme/sre-1}:lock",
        Place("acme", "t1", Part.ACTIVE_AGENT): "task:{acme/t1}:active_agent",
        Place("acme", "t1", Part.ARTIFACTS): "task:{acme/t1}:artifacts",
        Place("acme", "t1", Part.HANDOFF): "handoff:{acme/t1}:latest",
        Place("acme", "", Part.REVOCATIONS): "revocations:{acme}:ledger",
        Place("acme", "t1", Part.SOLUTIONS, "proposal_1"): "blackboard:{acme/t1}:solutions",
        Place("acme", "t1", Part.WAITING): "msg:{acme/t1}:waiting",
        Place("acme", "r1", Part.CHECKPOINTS): "checkpoint:{acme/r1}:kept",
    }
    assert {place: key_of(place) for place in parts} == parts


def test_an_agent_is_told_as_it_stands_and_a_step_is_a_sign_of_life() -> None:
    view, worked = worked_view()
    read = snapshot(view.agents["default", "sre-1"], None, at(10))
    assert read == AgentSnapshot(
        "sre-1",
        replace(packet(), version=1),
        "run-1",
        "PLAN",
        "",
        worked.agent.errors,
        HeldLock("run-1", 6, at(35)),
        at(5),
        worked.sequence,
    )
    agent = view.agents["default", "sre-1"]
    assert snapshot(agent, iso(at(7)), at(10)).heartbeat_time == at(7)
    assert snapshot(agent, iso(at(3)), at(10)).heartbeat_time == at(5)
    late = snapshot(agent, None, at(36))
    assert (late.lock, late.heartbeat_time) == (None, None), "its lease has run out"


def test_an_event_changes_what_it_says_it_changes_and_nothing_else() -> None:
    worked = worked_view()[1]
    view = View()
    before: dict[str, Any] = {}
    for event in worked.events:
        places = view.take("default", "sre-1", event.event, event.sequence)
        after = contents(view)
        differing = {key for key in after if after[key] != before.get(key)}
        assert differing <= {key_of(place) for place in places}
        before = after


@pytest.mark.parametrize(
    "event",
    [StaleTokenRefused("sre-1", 5, 0, "service:x", T0), AgentWaits("sre-1", "task-1", "run-1", None, T0)],
    ids=lambda event: type(event).__name__,
)
def test_whatever_is_heard_of_an_agent_first_tells_all_there_is_of_it(event: Any) -> None:
    view = View()
    told = documents(view, view.take("default", "sre-1", event, 1))
    there_is = {key: content for key, content in contents(view).items() if content is not None}
    assert {each.key: each.content for each in told if each.content is not None} == there_is


def test_an_event_that_was_taken_changes_nothing_more() -> None:
    view, worked = worked_view()
    before = contents(view)
    for event in worked.events:
        assert view.take("default", "sre-1", event.event, event.sequence) == ()
    assert contents(view) == before


def told_of_all() -> list[tuple[str, Any]]:
    """Of boards, messages, checkpoints and packets, changed again and again."""
    told: list[tuple[str, Any]] = []
    for n in range(30):
        value = "" if n % 7 == 6 else f'"{n}"'
        section = SECTIONS[n % 2]
        told.append(
            ("task-1", EntryPut(Entry("task-1", section, f"k{n % 4}", value, "a", n // 4 + 1, at(n))))
        )
        message = Message(f"m{n}", "task-1", "a", "", "STATUS", "1", "", at(n), (), ("b", "c"))
        told.append(("task-1", MessageSent(message)))
        told.append(("task-1", MessagesAcknowledged("task-1", "b", 0, (f"m{n}",), at(n))))
        if n % 3:
            told.append(("task-1", MessagesAcknowledged("task-1", "c", 0, (f"m{n}",), at(n))))
        told.append(
            ("run-1", CheckpointSaved(Checkpoint("run-1", n + 1, "task-1", "a", "P", "", "", "", at(n))))
        )
    told += [("a", PacketIssued(replace(packet(f"t{n}", "a"), version=n + 1), at(n))) for n in range(60)]
    return told


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_tables_told_by_their_changes_are_what_they_are_whole(data: st.DataObject) -> None:
    """Whoever writes, at any moments, what has changed since it wrote last, has written all there is."""
    view, store, behind = View(), dict[str, dict[str, str]](), list[Place]()
    for sequence, (key, event) in enumerate(told_of_all(), 1):
        behind += view.take("default", key, event, sequence)
        if data.draw(st.integers(0, 20)) == 0:
            write(store, documents(view, behind))
            behind = []
    write(store, documents(view, behind))
    whole = {key: content for key, content in contents(view).items() if isinstance(content, dict)}
    kept = {key: content for key, content in whole.items() if "errors" not in key}
    assert {key: store[key] for key in kept} == kept
    assert len(kept["checkpoint:{default/run-1}:kept"]) == KEPT
    assert len(kept["agent:{default/a}:packets"]) == KEPT_PACKETS
    assert len(kept["msg:{default/task-1}:waiting"]) == 10


def write(store: dict[str, dict[str, str]], changed: list[Document]) -> None:
    for document in changed:
        match document.content:
            case Fields(changed=fields):
                table = store[document.key]
                table.update({name: text for name, text in fields.items() if text is not None})
                for name in fields:
                    if fields[name] is None:
                        table.pop(name, None)
            case dict() as table:
                store[document.key] = dict(table)
            case _:
                pass  # no table


def test_the_last_changed_task_is_the_first() -> None:
    view = View()
    for sequence, task_id in enumerate(("t1", "t2", "t3", "t1"), 1):
        view.take("default", task_id, EntryPut(Entry(task_id, "problem", "k", "1", "a", 1, T0)), sequence)
    assert [task_id for task_id, _ in view.recent.newest("default", "")] == ["t1", "t3", "t2"]
    assert [task_id for task_id, _ in view.recent.newest("default", "4")] == ["t3", "t2"]
    assert view.recent.touched("default", "t1") == (4, T0)
    assert view.recent.touched("acme", "t1") is None


def test_tenants_are_apart() -> None:
    view = View()
    view.take("a", "task-1", ArtifactStored(artifact()), 1)
    view.take("a", "sre-1", AgentRevoked("sre-1", "PERSON", "", "key:x", T0), 2)
    assert view.artifact("a", artifact().sha256) == artifact()
    assert view.artifact("b", artifact().sha256) is None
    assert view.is_revoked("a", "sre-1")
    assert not view.is_revoked("b", "sre-1")


def test_the_lead_of_a_task_is_who_took_a_lock_last_and_holds_it() -> None:
    view = View()
    view.take("default", "a", LockAcquired("a", "t", "run-1", T0, at(9)), 1)
    view.take("default", "b", LockAcquired("b", "t", "run-2", T0, at(9)), 2)
    lead = Place("default", "t", Part.ACTIVE_AGENT)
    crew = Place("default", "t", Part.AGENTS)
    assert [each.content for each in documents(view, [lead, crew])] == ['"b"', frozenset({"a", "b"})]
    view.take("default", "a", LockReleased("a", "t", "run-1", 1, T0), 3)
    assert documents(view, [lead])[0].content == '"b"'
    view.take("default", "b", LockReleased("b", "t", "run-2", 2, T0), 4)
    assert documents(view, [lead])[0].content is None


def test_when_the_lead_leaves_who_took_its_lock_before_it_is_the_lead_again() -> None:
    view = View()
    lead = Place("default", "t", Part.ACTIVE_AGENT)
    for n, agent_id in enumerate(("a", "b", "c", "a"), 1):
        view.take("default", agent_id, LockAcquired(agent_id, "t", f"run-{n}", T0, at(9)), n)
    assert documents(view, [lead])[0].content == '"a"'
    view.take("default", "a", LockForced("a", "t", "run-4", 4, "it hangs", "key:ops", T0), 5)
    assert documents(view, [lead])[0].content == '"c"'
    changed = view.take("default", "c", LockAcquired("c", "u", "run-5", at(9), at(18)), 6)
    assert lead in changed
    assert documents(view, [lead])[0].content == '"b"', (
        "the lease of c ran out, and it went on with another task"
    )
    assert view.crews["default", "u"].lead == "c"
    assert view.take("default", "a", LockAcquired("a", "u", "run-6", at(9), at(18)), 7)
    assert (view.crews["default", "t"].lead, view.crews["default", "t"].sequence) == ("b", 6)
    assert view.crews["default", "t"].agents == {"a", "b", "c"}


def test_a_list_is_sent_by_its_tail_unless_it_is_asked_for_whole() -> None:
    view = View()
    for n in range(100):
        view.take("default", "task-1", ArtifactStored(artifact(name=f"n{n}")), n + 1)
    place = Place("default", "task-1", Part.ARTIFACTS)
    (tail,), (whole,) = documents(view, [place]), documents(view, [place], whole=True)
    assert isinstance(tail.content, Listing)
    assert isinstance(whole.content, Listing)
    assert (tail.content.offset, len(tail.content.items)) == (68, 32)
    assert whole.content.items[68:] == tail.content.items


def test_bytes_that_are_stored_again_keep_the_labels_they_had() -> None:
    view, stored = View(), artifact()
    for n, (task_id, labels) in enumerate([("a", ("pii", "secret")), ("b", ()), ("c", ("ours",))], 1):
        view.take("default", task_id, ArtifactStored(replace(stored, task_id=task_id, labels=labels)), n)
    assert view.artifact("default", stored.sha256) == replace(
        stored, task_id="c", labels=("ours", "pii", "secret")
    )
    assert [each.labels for each in view.tasks["default", "b"].artifacts] == [()], "as it was stored"
    assert view.artifact("other", stored.sha256) is None


def test_time_alone_makes_no_difference() -> None:
    view = worked_view()[0]
    found = contents(view)
    gone = {key: value for key, value in found.items() if not key.endswith((":lock", ":heartbeat"))}
    late = at(35) + timedelta(microseconds=1)
    assert comparable(found, late) == comparable(gone, late)
    early = at(34)
    assert digest(comparable(found, early)) != digest(comparable(gone, early))


def test_records_are_read_back_as_they_were_written() -> None:
    written = HandoffWritten(handoff(), at(1.5))
    assert from_json(HandoffWritten, to_json(written)) == written


@given(length=st.integers(0, 40), size=st.integers(1, 9), growth=st.integers(0, 5))
def test_pages_show_every_item_once_also_while_the_list_grows(length: int, size: int, growth: int) -> None:
    def walk(backwards: bool) -> list[int]:
        items, seen, token = list(range(length)), list[int](), ""
        while True:
            page = before_last(items, size, token) if backwards else after_first(items, size, token)
            assert 0 <= len(page.items) <= size
            seen += page.items
            token = page.next_page_token
            if not token:
                return seen
            items += range(len(items), len(items) + (growth if backwards else 0))

    assert walk(backwards=False) == list(range(length))
    assert walk(backwards=True) == list(range(length))[::-1]


@pytest.mark.parametrize("token", ["0", "-1", "x", "1.5", "٣", "9" * 13])
def test_a_page_token_is_one_that_was_given(token: str) -> None:
    for page in (after_first, before_last):
        with pytest.raises(Fault) as caught:
            page((), 10, token)
        assert caught.value.reason == "PAGE_TOKEN_INVALID"
