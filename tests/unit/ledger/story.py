"""Messages as services publish them, for tests: real protos, real headers, chosen ids and times."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.message import Message as Proto
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.eventlog.headers import block, event_lines
from kernel.events import Cause, Head, Stream
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.entry import Message
from services.ledger.wire.understanding import understand

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(BEGIN + timedelta(seconds=seconds))
    return stamp


def message(
    sequence: int,
    event: Proto,
    *,
    tenant: str = "default",
    aggregate: str = "agent",
    id: str = "sre-1",
    correlation_id: str = "",
    causation_id: str = "cause-1",
    actor: str = "service:tests",
    event_id: str = "",
) -> Message:
    """`event` as the chassis would publish it, `sequence` seconds after the story began."""
    full_name = event.DESCRIPTOR.full_name
    stream = Stream(tenant, full_name.split(".")[1], aggregate, id)
    cause = Cause(
        tenant,
        f"request-{sequence}",
        actor,
        BEGIN + timedelta(seconds=sequence),
        correlation_id,
        causation_id,
    )
    event_id = event_id or stream.event_id(cause.request_id)
    lines = event_lines(stream, full_name, event_id, 0, after=Head(), cause=cause, source="provost/tests")
    return Message(
        sequence,
        stream.subject(event.DESCRIPTOR.name),
        block(lines),
        event.SerializeToString(deterministic=True),
    )


def plain(sequence: int, tenant: str = "default", run: str = "") -> Message:
    """An event that no projection knows."""
    run = run or f"run-{sequence // 10}"
    event = orchestrator.RunPhaseEntered(run_id=run, agent_id="sre-1", at=at(sequence))
    return message(sequence, event, tenant=tenant, aggregate="run", id=run, correlation_id=run)


def plains(count: int, first: int = 1) -> list[Message]:
    return [plain(sequence) for sequence in range(first, first + count)]


def decision(
    decision_id: str, verdict: "policy_pb2.Verdict.ValueType", seconds: float = 5.0
) -> policy.DecisionRecord:
    return policy.DecisionRecord(
        decision_id=decision_id,
        agent_id="sre-1",
        run_id="run-1",
        task_id="task-1",
        action=policy_pb2.Action(action_id="a1", name="diagnostics.memory", target="localhost"),
        verdict=verdict,
        rule="tier.T1_OPERATOR",
        reason="ALLOWED_BY_TIER",
        tier=policy_pb2.TIER_T1_OPERATOR,
        policy_version="1",
        agent_version="1.0",
        at=at(seconds),
    )


def run(tenant: str = "default", first: int = 1) -> list[Message]:
    """One run from registration to revocation: two decisions, an effect, a violation."""
    effect = orchestrator_pb2.Effect(
        effect_id="effect-1", action_id="a1", state=orchestrator_pb2.EFFECT_STATE_SUCCEEDED
    )
    preview = orchestrator_pb2.Effect(
        effect_id="effect-0", action_id="a1", state=orchestrator_pb2.EFFECT_STATE_PREVIEWED
    )
    incident = incident_pb2.Incident(severity="high", cause="memory", confidence=0.75)
    made = [decision("d1", policy_pb2.VERDICT_ALLOW), decision("d2", policy_pb2.VERDICT_DENY)]
    events: list[tuple[str, str, Proto]] = [
        (
            "agent",
            "sre-1",
            policy.AgentRegistered(agent_id="sre-1", tier=policy_pb2.TIER_T1_OPERATOR, at=at(1)),
        ),
        (
            "run",
            "run-1",
            orchestrator.PlanRecorded(run_id="run-1", agent_id="sre-1", incident=incident, at=at(2)),
        ),
        ("decisions", "replica-1", policy.DecisionsMade(decisions=made)),
        (
            "run",
            "run-1",
            orchestrator.EffectIntended(run_id="run-1", effect_id="effect-1", decision_id="d1", at=at(6)),
        ),
        ("run", "run-1", orchestrator.EffectsObserved(run_id="run-1", effects=[preview, effect], at=at(7))),
        (
            "agent",
            "sre-1",
            state.ErrorRecorded(
                agent_id="sre-1",
                task_id="task-1",
                run_id="run-1",
                error_type="FORBIDDEN_BY_PACKET",
                message="tried it",
                procedure_violation=True,
                at=at(8),
            ),
        ),
        ("agent", "sre-1", state.ErrorRecorded(agent_id="sre-1", error_type="TIMEOUT", at=at(8))),
        (
            "run",
            "run-1",
            orchestrator.RunEnded(
                run_id="run-1",
                agent_id="sre-1",
                state=orchestrator_pb2.RUN_STATE_COMPLETED,
                compliant=True,
                at=at(9),
            ),
        ),
        ("agent", "sre-1", policy.AgentRevoked(agent_id="sre-1", kind="procedure_violation", at=at(10))),
    ]
    return [
        message(first + n, event, tenant=tenant, aggregate=aggregate, id=name, correlation_id="run-1")
        for n, (aggregate, name, event) in enumerate(events)
    ]


async def opened(path: Path) -> SqliteBook:
    """A book in `path`, open."""
    book = SqliteBook(path, understand)
    await book.open()
    return book
