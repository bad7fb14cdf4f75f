"""What an event refers to by other means than its headers: decisions, effects and approvals that its payload names."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.policy.v1 import events_pb2 as policy
from services.ledger.domain.entry import Entry
from services.ledger.domain.steps import References
from services.ledger.wire.payloads import shown

NONE = References()


def references_of(entry: Entry) -> References:
    """Nothing for what refers to nothing, or cannot be read. Never raises."""
    message = shown(entry.headers.get("ce-type", ""), entry.payload)
    read = None if message is None else _READERS.get(type(message))
    return NONE if read is None else read(message)


def _decisions_made(event: policy.DecisionsMade) -> References:
    return References(
        approved={each.decision_id: each.approval_id for each in event.decisions if each.approval_id},
        runs={each.decision_id: each.run_id for each in event.decisions},
    )


_READERS: dict[type[Message], Callable[[Any], References]] = {
    policy.DecisionsMade: _decisions_made,
    policy.ApprovalVoted: lambda event: References(approvals=(event.approval_id,)),
    policy.ApprovalAnswered: lambda event: References(approvals=(event.approval_id,)),
    policy.ApprovalUsed: lambda event: References(approvals=(event.approval_id,)),
    orchestrator.ActionsDecided: lambda event: References(
        decisions=tuple(each.decision_id for each in event.decisions)
    ),
    orchestrator.ApprovalsAwaited: lambda event: References(approvals=tuple(event.approval_ids.values())),
    orchestrator.EffectIntended: lambda event: References(decisions=(event.decision_id,)),
    orchestrator.EffectsObserved: lambda event: References(
        effects=tuple(each.effect_id for each in event.effects if each.effect_id)
    ),
}
