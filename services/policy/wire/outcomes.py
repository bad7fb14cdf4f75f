"""What runs came to: what policy keeps of the orchestrator's and of state's events."""

from datetime import UTC
from typing import Final

from google.protobuf.message import Message

from chassis.eventlog.codec import Upcaster
from kernel.faults import Invalid
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import orchestrator_pb2
from provost.state.v1 import events_pb2 as state
from services.policy.domain.outcomes import ErrorNoted, RunActed, RunChecked, RunOver


def _acted(event: orchestrator.EffectIntended) -> RunActed:
    return RunActed(event.run_id, event.agent_id)


def _checked(event: orchestrator.RunVerified) -> RunChecked:
    return RunChecked(
        event.run_id, event.agent_id, len(event.checks), all(check.ok for check in event.checks)
    )


def _over(event: orchestrator.RunEnded) -> RunOver:
    return RunOver(
        event.run_id,
        event.agent_id,
        event.state == orchestrator_pb2.RUN_STATE_COMPLETED,
        event.state == orchestrator_pb2.RUN_STATE_REFUSED,
        event.compliant,
    )


def _error(event: state.ErrorRecorded) -> ErrorNoted:
    try:
        at = event.at.ToDatetime(tzinfo=UTC)
    except (OverflowError, ValueError):
        raise Invalid("FIELD_INVALID", "a time out of range (years 1 to 9999)", field="at") from None
    return ErrorNoted(event.agent_id, event.task_id, event.run_id, event.procedure_violation, at)


OUTCOMES: Final[dict[type[Message], Upcaster]] = {
    orchestrator.EffectIntended: _acted,
    orchestrator.RunVerified: _checked,
    orchestrator.RunEnded: _over,
    state.ErrorRecorded: _error,
}
