"""What is asked and what is decided, between policy's domain and its protos."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from kernel.faults import Exhausted
from provost.policy.v1 import policy_pb2
from services.policy.domain.action import Action, Mode, RunContext
from services.policy.domain.amounts import Amounts, checked
from services.policy.domain.decision import Change, DecisionRecord, Judgement, Looked
from services.policy.domain.tier import Tier
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded, stamp
from services.policy.wire.tiers import TIERS

MAX_PARAMETERS = 64
MAX_STEPS = 64

MODES: Final = {policy_pb2.Mode.Value(f"MODE_{mode}"): mode for mode in Mode}
_VERDICTS: Final = {
    verdict: policy_pb2.Verdict.Value(f"VERDICT_{verdict}") for verdict in ("ALLOW", "DENY", "NEEDS_APPROVAL")
}


def context_from_wire(context: policy_pb2.RunContext) -> RunContext:
    """Raises Invalid: an id is missing or too long."""
    return RunContext(
        bounded(context.run_id, "context.run_id", MAX_ID),
        bounded(context.task_id, "context.task_id", MAX_ID),
        bounded(context.agent_id, "context.agent_id", MAX_ID),
        MODES.get(context.mode),
        context.fencing_token,
        context.at_least_sequence,
        bounded(context.subject_key, "context.subject_key", MAX_ID, least=0),
        _steps(context.steps_done),
    )


def _steps(steps: Sequence[str]) -> tuple[str, ...]:
    if len(steps) > MAX_STEPS:
        raise Exhausted(
            "MESSAGE_TOO_LARGE", f"a run has at most {MAX_STEPS} steps", field="context.steps_done"
        )
    return tuple(bounded(step, "context.steps_done", MAX_ID) for step in steps)


def cost_from_wire(cost: policy_pb2.Amounts) -> Amounts:
    """Raises Invalid (`AMOUNT_INVALID`): an amount is negative or too large."""
    given = Amounts(cost.actions, cost.tokens, cost.money_micros, cost.errors, tuple(cost.hosts))
    return checked(given, "cost")


def action_from_wire(action: policy_pb2.Action) -> Action:
    """Raises Invalid or Exhausted: a part is missing or too long."""
    if len(action.parameters) > MAX_PARAMETERS:
        raise Exhausted(
            "MESSAGE_TOO_LARGE",
            f"an action has at most {MAX_PARAMETERS} parameters",
            field="action.parameters",
        )
    parameters = {
        bounded(name, "action.parameters", MAX_ID): bounded(
            value, f"action.parameters.{name}", MAX_TEXT, least=0
        )
        for name, value in action.parameters.items()
    }
    return Action(
        bounded(action.action_id, "action.action_id", MAX_ID, least=0),
        bounded(action.name, "action.name", MAX_ID),
        bounded(action.target, "action.target", MAX_TEXT, least=0),
        bounded(action.environment, "action.environment", MAX_ID, least=0),
        parameters,
    )


def action_to_wire(action: Action) -> policy_pb2.Action:
    return policy_pb2.Action(
        action_id=action.action_id,
        name=action.name,
        target=action.target,
        environment=action.environment,
        parameters=action.parameters,
    )


def decision_to_wire(
    record: DecisionRecord,
    judgement: Judgement,
    permit: str,
    permit_expire_time: datetime | None,
    reservation_id: str,
) -> policy_pb2.Decision:
    """As it is answered: `record` with what is not written down."""
    decision = policy_pb2.Decision(
        decision_id=record.decision_id,
        action_id=record.action.action_id,
        verdict=_VERDICTS[record.verdict],
        rule=record.rule,
        reason=record.reason,
        explanation=record.explanation,
        tier=policy_pb2.TIER_UNSPECIFIED if record.tier is None else TIERS[record.tier],
        policy_version=record.policy_version,
        action_digest=record.action_digest,
        obligations=judgement.obligations,
        permit=permit,
        reservation_id=reservation_id,
    )
    if permit_expire_time is not None:
        decision.permit_expire_time.CopyFrom(stamp(permit_expire_time))
    if judgement.changes:
        decision.changes.extend(changes_to_wire(judgement.changes))
    return decision


def changes_to_wire(changes: Iterable[Change]) -> list[policy_pb2.Change]:
    return [policy_pb2.Change(what=each.what, to=each.to, by=each.by) for each in changes]


def judgement_to_wire(
    judgement: Judgement, tier: Tier | None, policy_version: str, action_digest: str, action_id: str
) -> policy_pb2.Decision:
    """What would be answered, and is not: it has no id, for nothing was decided."""
    return policy_pb2.Decision(
        action_id=action_id,
        verdict=_VERDICTS[judgement.verdict],
        rule=judgement.rule,
        reason=judgement.reason,
        explanation=judgement.explanation,
        tier=policy_pb2.TIER_UNSPECIFIED if tier is None else TIERS[tier],
        policy_version=policy_version,
        action_digest=action_digest,
        obligations=judgement.obligations,
        changes=changes_to_wire(judgement.changes),
    )


def checks_to_wire(looked: Iterable[Looked]) -> list[policy_pb2.ExplainResponse.Check]:
    return [
        policy_pb2.ExplainResponse.Check(rule=each.rule, passed=each.passed, text=each.text)
        for each in looked
    ]
