"""Rows, proofs and findings as protobuf messages, and requests as questions."""

import importlib
from datetime import UTC, datetime

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Invalid
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Entry, microseconds
from services.ledger.domain.position import Position
from services.ledger.domain.projections import ActionRow, AgentRow, ViolationRow
from services.ledger.domain.questions import ActionQuestion, EventQuestion, Listed, token_of
from services.ledger.domain.records import Inclusion, Progress, SignedHead, Verdict

_CONTEXTS = ("gateway", "orchestrator", "policy", "state")
_EVENTS = frozenset(
    f"provost.{context}.v1.{name}"
    for context in _CONTEXTS
    for name in importlib.import_module(f"provost.{context}.v1.events_pb2").DESCRIPTOR.message_types_by_name
)
_MAX_JSON_BYTES = 512 * 1024
MAX_ANSWER_BYTES = 3 * 1024 * 1024


def event_question(tenant: str, request: pb.ListEventsRequest) -> EventQuestion:
    """Raises Invalid: a time that no calendar has."""
    wanted = request.filter
    return EventQuestion(
        tenant=tenant,
        from_us=_from_wire(wanted, "from_time"),
        to_us=_from_wire(wanted, "to_time"),
        context=wanted.context,
        aggregate=wanted.aggregate,
        aggregate_id=wanted.aggregate_id,
        event_type=wanted.event_type,
        correlation_id=wanted.correlation_id,
        actor=wanted.actor,
        oldest_first=request.oldest_first,
    )


def action_question(tenant: str, request: pb.ListAgentActionsRequest) -> ActionQuestion:
    """Raises Invalid: a time that no calendar has."""
    return ActionQuestion(
        tenant=tenant,
        from_us=_from_wire(request, "from_time"),
        to_us=_from_wire(request, "to_time"),
        agent_id=request.agent_id,
        task_id=request.task_id,
        run_id=request.run_id,
        action=request.action,
        decision=request.decision,
    )


def event_to_wire(entry: Entry, position: Position) -> pb.LedgerEvent:
    return pb.LedgerEvent(
        sequence=entry.sequence,
        leaf_index=position.index_of(entry.sequence),
        event_id=entry.event_id,
        subject=entry.subject,
        event_type=entry.event_type,
        actor=entry.actor,
        correlation_id=entry.correlation_id,
        causation_id=entry.causation_id,
        at=_to_wire(entry.at_us),
        payload=entry.payload,
        payload_json=payload_json(entry.headers.get("ce-type", ""), entry.payload),
        leaf_hash=entry.leaf_hash,
        headers=entry.headers,
    )


def events_to_wire(
    question: EventQuestion, found: Listed[Entry], position: Position
) -> pb.ListEventsResponse:
    """A page that fits into one message: it ends earlier when events are large once they are spelled out."""
    answer = pb.ListEventsResponse(next_page_token=token_of(question, found.end))
    n_bytes = 0
    for row in found.rows:
        event = event_to_wire(row, position)
        n_bytes += event.ByteSize()
        if answer.events and n_bytes > MAX_ANSWER_BYTES:
            answer.next_page_token = token_of(question, (answer.events[-1].sequence,))
            return answer
        answer.events.append(event)
    return answer


def payload_json(type_name: str, payload: bytes) -> str:
    """The payload as JSON with the protos' field names; empty when it cannot be read, or is large."""
    if type_name not in _EVENTS or len(payload) > _MAX_JSON_BYTES:
        return ""
    message = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name))
    try:
        text: str = json_format.MessageToJson(
            message.FromString(payload), preserving_proto_field_name=True, indent=None
        )
        return text if len(text) <= _MAX_JSON_BYTES else ""
    except (DecodeError, json_format.SerializeToJsonError, ValueError):
        return ""


def action_to_wire(row: ActionRow) -> pb.AgentAction:
    return pb.AgentAction(
        sequence=row.sequence,
        at=_to_wire(row.at_us),
        agent_id=row.agent_id,
        agent_version=row.agent_version,
        tier=row.tier,
        action=row.action,
        decision=row.decision,
        confidence=row.confidence,
        success=row.success,
        error_type=row.error_type,
        error_message=row.error_message,
        run_id=row.run_id,
        task_id=row.task_id,
        decision_id=row.decision_id,
        rule=row.rule,
        reason=row.reason,
        policy_version=row.policy_version,
        target=row.target,
    )


def agent_to_wire(row: AgentRow) -> pb.AgentMetrics:
    return pb.AgentMetrics(
        agent_id=row.agent_id,
        current_tier=row.current_tier,
        total_runs=row.total_runs,
        compliant_runs=row.compliant_runs,
        consecutive_compliant=row.consecutive_compliant,
        last_active_at=_to_wire(row.last_active_us),
        revoked=row.revoked,
    )


def violation_to_wire(row: ViolationRow) -> pb.Violation:
    return pb.Violation(
        sequence=row.sequence,
        at=_to_wire(row.at_us),
        agent_id=row.agent_id,
        run_id=row.run_id,
        task_id=row.task_id,
        error_type=row.error_type,
        message=row.message,
    )


def head_to_wire(head: SignedHead) -> pb.TreeHead:
    return pb.TreeHead(
        origin=head.checkpoint.origin,
        tree_size=head.checkpoint.size,
        root_hash=head.checkpoint.root,
        checkpoint=head.note,
        at=None if head.at is None else _to_wire(microseconds(head.at)),
        witnesses=head.witnesses,
    )


def inclusion_to_wire(proof: Inclusion) -> pb.GetInclusionProofResponse:
    return pb.GetInclusionProofResponse(
        leaf_index=proof.leaf_index,
        leaf_hash=proof.entry.leaf_hash,
        path=proof.path,
        tree_head=head_to_wire(proof.head),
        subject=proof.entry.subject,
        header_block=proof.entry.header,
        payload=proof.entry.payload,
    )


def verdict_to_wire(verdict: Verdict) -> pb.VerifyLedgerResponse:
    return pb.VerifyLedgerResponse(
        ok=verdict.ok,
        checks=[
            pb.VerifyLedgerResponse.Check(name=each.name, ok=each.ok, detail=each.detail)
            for each in verdict.findings
        ],
        tree_head=None if verdict.head is None else head_to_wire(verdict.head),
        first_bad_sequence=verdict.first_bad_sequence,
    )


def progress_to_wire(progress: Progress) -> pb.RebuildLedgerResponse:
    return pb.RebuildLedgerResponse(
        events=progress.events,
        target=progress.target,
        done=progress.done,
        root_hash=progress.root,
        swapped=progress.swapped,
        detail=progress.detail,
    )


def _to_wire(at_us: int | None) -> Timestamp | None:
    if at_us is None:
        return None
    seconds, microseconds = divmod(at_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def _from_wire(message: "pb.EventFilter | pb.ListAgentActionsRequest", field: str) -> int | None:
    if not message.HasField(field):  # type: ignore[arg-type]  # both have both fields
        return None
    try:
        at: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("FIELD_INVALID", f"{field} is no time of years 1 to 9999", field=field) from None
    return microseconds(at)
