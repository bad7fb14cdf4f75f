"""What is asked and what is decided, between policy's domain and its protos."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from kernel.faults import Exhausted
from provost.policy.v1 import policy_pb2
from services.policy.domain.action import Action, Mode, RunContext
from services.policy.domain.decision import Change, DecisionRecord, Judgement, Looked
from services.policy.domain.tier import Tier
from services.policy.wire.texts import MAX_ID, MAX_TEXT, bounded, stamp
from services.policy.wire.tiers import TIERS
from services.policy.wire.verdicts import VERDICTS

MAX_PARAMETERS = 64
MAX_STEPS = 64

MODES: Final = {policy_pb2.Mode.Value(f"MODE_{mode}"): mode for mode in Mode}


def context_from_wire(context: policy_pb2.RunContext, *, least_task: int = 1) -> RunContext:
    """With `least_task` 0 a task need not be named. Raises Invalid: an id is missing or too long."""
    made = RunContext(
        context.run_id,
        context.task_id,
        context.agent_id,
        MODES.get(context.mode),
        context.fencing_token,
        context.at_least_sequence,
        context.subject_key,
        _steps(context.steps_done),
    )
    if not (
        0 < len(made.run_id) <= MAX_ID
        and least_task <= len(made.task_id) <= MAX_ID
        and 0 < len(made.agent_id) <= MAX_ID
        and len(made.subject_key) <= MAX_ID
    ):
        bounded(made.run_id, "context.run_id", MAX_ID)
        bounded(made.task_id, "context.task_id", MAX_ID, least=least_task)
        bounded(made.agent_id, "context.agent_id", MAX_ID)
        bounded(made.subject_key, "context.subject_key", MAX_ID, least=0)
    return made


def _steps(steps: Sequence[str]) -> tuple[str, ...]:
    if not steps:
        return ()
    if len(steps) > MAX_STEPS:
        raise Exhausted(
            "MESSAGE_TOO_LARGE", f"a run has at most {MAX_STEPS} steps", field="context.steps_done"
        )
    return tuple(bounded(step, "context.steps_done", MAX_ID) for step in steps)


def action_from_wire(action: policy_pb2.Action) -> Action:
    """Raises Invalid or Exhausted: a part is missing or too long."""
    given = action.parameters
    made = Action(
        action.action_id,
        action.name,
        action.target,
        action.environment,
        {name: given[name] for name in given} if given else {},
    )
    if not (
        0 < len(made.name) <= MAX_ID
        and len(made.action_id) <= MAX_ID
        and len(made.target) <= MAX_TEXT
        and len(made.environment) <= MAX_ID
    ):
        _blame(made)
    if given:
        _require_parameters(made.parameters)
    return made


def _blame(action: Action) -> None:
    bounded(action.action_id, "action.action_id", MAX_ID, least=0)
    bounded(action.name, "action.name", MAX_ID)
    bounded(action.target, "action.target", MAX_TEXT, least=0)
    bounded(action.environment, "action.environment", MAX_ID, least=0)


def _require_parameters(parameters: Mapping[str, str]) -> None:
    if len(parameters) > MAX_PARAMETERS:
        text = f"an action has at most {MAX_PARAMETERS} parameters"
        raise Exhausted("MESSAGE_TOO_LARGE", text, field="action.parameters")
    for name, value in parameters.items():
        if not 0 < len(name) <= MAX_ID or len(value) > MAX_TEXT:
            bounded(name, "action.parameters", MAX_ID)
            bounded(value, f"action.parameters.{name}", MAX_TEXT, least=0)


def action_to_wire(action: Action) -> policy_pb2.Action:
    return policy_pb2.Action(
        action_id=action.action_id,
        name=action.name,
        target=action.target,
        environment=action.environment,
        parameters=action.parameters,
    )


def fill_decision(
    made: policy_pb2.Decision,
    record: DecisionRecord,
    judgement: Judgement,
    permit: str,
    permit_expire_time: datetime | None,
    reservation_id: str,
) -> None:
    """Set field by field in its place, which is what an answer of many is made of quickest."""
    made.decision_id = record.decision_id
    made.action_id = record.action.action_id
    made.verdict = VERDICTS[record.verdict]
    made.rule = record.rule
    made.reason = record.reason
    made.explanation = record.explanation
    if record.tier is not None:
        made.tier = TIERS[record.tier]
    made.policy_version = record.policy_version
    made.action_digest = record.action_digest
    if judgement.obligations:
        made.obligations.extend(judgement.obligations)
    if permit_expire_time is not None:
        made.permit = permit
        made.permit_expire_time.CopyFrom(_expiry(permit_expire_time))
    if reservation_id:
        made.reservation_id = reservation_id
    if judgement.changes:
        made.changes.extend(changes_to_wire(judgement.changes))


@lru_cache(maxsize=16)
def _expiry(at: datetime) -> Timestamp:
    return stamp(at)  # the same for all that are answered together


def changes_to_wire(changes: Iterable[Change]) -> list[policy_pb2.Change]:
    return [policy_pb2.Change(what=each.what, to=each.to, by=each.by) for each in changes]


def judgement_to_wire(
    judgement: Judgement, tier: Tier | None, policy_version: str, action_digest: str, action_id: str
) -> policy_pb2.Decision:
    """What would be answered, and is not: it has no id, for nothing was decided."""
    return policy_pb2.Decision(
        action_id=action_id,
        verdict=VERDICTS[judgement.verdict],
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
