"""Every event there ever was is told in words; an event of state says who and what."""

import pytest

from chassis.eventlog.headers import block
from provost.orchestrator.v1.events_pb2 import RunEnded
from provost.state.v1 import events_pb2 as events
from provost.state.v1 import state_pb2 as state
from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.wire.summaries import summary_of
from tests.golden.record import HERE

GOLDEN = sorted(path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.glob("*/*.bin"))


def entry(name: str, payload: bytes) -> Entry:
    _, context, _, short = name.split(".")
    subject = f"evt.default.{context}.thing.id-1.{short}"
    return entry_of(Message(7, subject, block(f"ce-type: {name}\r\n"), payload))


@pytest.mark.parametrize("golden", GOLDEN)
def test_every_event_is_told_in_words(golden: str) -> None:
    name = golden.partition("/")[0]
    told = summary_of(entry(name, (HERE / f"{golden}.bin").read_bytes()))
    assert " " in told or name == "provost.ledger.v1.SubjectErased", f"{name} has no line of its own: {told}"


@pytest.mark.parametrize(
    ("state", "reason", "compliant", "told"),
    [
        ("COMPLETED", "COMPLETED", True, "the run ended COMPLETED (COMPLETED), kept to the rules: so"),
        ("COMPLETED", "COMPLETED", False, "the run ended COMPLETED (COMPLETED), not without errors: so"),
        ("REVOKED", "AGENT_REVOKED", False, "the run ended REVOKED (AGENT_REVOKED): so"),
        ("REFUSED", "AGENT_PREVIOUSLY_REVOKED", False, "the run ended REFUSED (AGENT_PREVIOUSLY_REVOKED): so"),
        ("FAILED", "SUBJECT_ERASED", False, "the run ended FAILED (SUBJECT_ERASED): so"),
        (
            "REVOKED", "PROCEDURE_VIOLATION", False,
            "the run ended REVOKED (PROCEDURE_VIOLATION), did not keep to the rules: so",
        ),
    ],
)  # fmt: skip
def test_nobody_is_said_to_have_broken_a_rule_who_broke_none(
    state: str, reason: str, compliant: bool, told: str
) -> None:
    ended = RunEnded(state=f"RUN_STATE_{state}", reason=reason, compliant=compliant, outcome="so")  # type: ignore[arg-type]
    assert summary_of(entry(ended.DESCRIPTOR.full_name, ended.SerializeToString())) == told


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            events.LockForced(agent_id="a", holder="run-1", reason="it hangs", by="key:alice"),
            "key:alice took the lock of agent a from run-1: it hangs",
        ),
        (
            events.AgentWaits(
                agent_id="a", waiting=state.Waiting(kind=state.Waiting.KIND_GATE, what="tests")
            ),
            "agent a waits for GATE: tests",
        ),
        (events.AgentWaits(agent_id="a"), "agent a waits no more"),
        (
            events.AgentStuck(agent_id="a", stuck=state.Stuck(kind=state.Stuck.KIND_CIRCLE, evidence="6")),
            "agent a is stuck (CIRCLE): 6",
        ),
        (
            events.MessageSent(message=state.Message(from_agent_id="a", type="VOTE", body='"yes"')),
            'a sent all a VOTE: "yes"',
        ),
        (
            events.EntryPut(entry=state.Entry(author="a", section="problem", key="k", version=2)),
            "a took problem/k off the board",
        ),
        (
            events.RunLabelled(labels=["pii"], by_reading="entry:problem/k"),
            "the run bears pii, by reading entry:problem/k",
        ),
    ],
)
def test_an_event_of_state_says_who_and_what(event: events.LockForced, told: str) -> None:
    assert summary_of(entry(event.DESCRIPTOR.full_name, event.SerializeToString())) == told
