"""`DecisionsMade` as it is written down: field by field, for it is what costs most of a decision.

The same bytes as the codec's own mapping would give, which a test holds it to. Decisions on one ask share half of their
fields: those are put together once and merged into each.
"""

from typing import Final

from google.protobuf.message import Message

from chassis.mapping import Mapper
from provost.policy.v1 import events_pb2, policy_pb2
from services.policy.domain.action import Mode
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import DecisionRecord, DecisionsMade
from services.policy.wire.budgets import reservation_to_wire
from services.policy.wire.texts import stamp
from services.policy.wire.tiers import TIERS
from services.policy.wire.verdicts import VERDICTS

_MODES: Final = {mode: policy_pb2.Mode.Value(f"MODE_{mode}") for mode in Mode}
_AMOUNTS: Final[Mapper[Amounts, policy_pb2.Amounts]] = Mapper(Amounts, policy_pb2.Amounts)


def decisions_made_to_wire(event: DecisionsMade) -> Message:
    made = events_pb2.DecisionsMade()
    add, before, shared = made.decisions.add, None, b""
    for record in event.decisions:
        if before is None or not _of_one_ask(record, before):
            shared = _shared(record).SerializeToString()
        _fill(add(), shared, record)
        before = record
    made.reservations.extend(map(reservation_to_wire, event.reservations))
    return made


def _of_one_ask(one: DecisionRecord, other: DecisionRecord) -> bool:
    """Whether they share their fields. By identity: of one ask they are the same objects, and looking costs nothing."""
    return (
        one.at is other.at
        and one.agent_id is other.agent_id
        and one.run_id is other.run_id
        and one.task_id is other.task_id
        and one.mode is other.mode
        and one.tier is other.tier
        and one.policy_version is other.policy_version
        and one.agent_version is other.agent_version
        and one.labels is other.labels
        and one.steps_done is other.steps_done
    )


def _shared(record: DecisionRecord) -> events_pb2.DecisionRecord:
    return events_pb2.DecisionRecord(
        agent_id=record.agent_id,
        run_id=record.run_id,
        task_id=record.task_id,
        mode=policy_pb2.MODE_UNSPECIFIED if record.mode is None else _MODES[record.mode],
        tier=policy_pb2.TIER_UNSPECIFIED if record.tier is None else TIERS[record.tier],
        policy_version=record.policy_version,
        agent_version=record.agent_version,
        at=stamp(record.at),
        labels=record.labels,
        steps_done=record.steps_done,
    )


def _fill(made: events_pb2.DecisionRecord, shared: bytes, record: DecisionRecord) -> None:
    made.MergeFromString(shared)
    made.decision_id = record.decision_id
    made.verdict = VERDICTS[record.verdict]
    made.rule = record.rule
    made.reason = record.reason
    made.explanation = record.explanation
    made.action_digest = record.action_digest
    if record.approval_id:
        made.approval_id = record.approval_id
    if record.cost is not None:
        made.cost.CopyFrom(_AMOUNTS.to_message(record.cost))
    action, asked = made.action, record.action
    action.action_id = asked.action_id
    action.name = asked.name
    action.target = asked.target
    action.environment = asked.environment
    parameters = action.parameters
    for name, value in asked.parameters.items():
        parameters[name] = value
