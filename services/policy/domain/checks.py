"""What can refuse an action, in the order of decision: each looks at one thing, and says nothing or why not.

Whatever is not named, not known or not answered is refused. Pure; `decision` asks them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.policy.domain.action import ENVIRONMENTS, Mode
from services.policy.domain.agent import Agent
from services.policy.domain.drawing import BudgetRefusal
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import Grant, PolicySet, Row
from services.policy.domain.question import Change, Judgement, Question, denied
from services.policy.domain.quoted import shown
from services.policy.domain.rules import RuleOutcome
from services.policy.domain.tier import Tier

BEFORE_EXECUTE = ("BOOTSTRAP", "PREFLIGHT", "PLAN")
"""Steps that the lifecycle places before anything is done; those behind it cannot have been taken yet."""


@dataclass(frozen=True, slots=True)
class Check:
    """One look: what it is called, what there is to say when it refuses nothing, and the look itself.

    Some look into the packet or the policy set: `into`. Where there is none, an earlier one has refused.
    """

    rule: str
    passes: str
    refusal: Callable[[Question], Judgement | None]
    into: str = ""

    def can_look(self, question: Question) -> bool:
        """Whether what it looks into is there."""
        match self.into:
            case "packet":
                return question.packet is not None
            case "policy":
                return question.policy is not None
            case _:
                return True


def revoked(agent: Agent) -> Judgement | None:
    """The verdict on anything a revoked agent asks; None for others."""
    if not agent.fell_with:
        return None
    above = "" if agent.revoked is not None else f" with {shown(agent.fell_with)}, which controls it"
    text = f"agent {shown(agent.agent_id)} is revoked for good{above}: another agent would have to be registered."
    return denied("agent.revoked", "AGENT_REVOKED", text, Change("agent", "another one", "admin"))


def suspended(agent: Agent) -> Judgement | None:
    """The verdict on anything a suspended agent asks; None for others."""
    if agent.suspended is None:
        return None
    text = f"agent {shown(agent.agent_id)} is suspended: it would have to be resumed."
    return denied("agent.suspended", "AGENT_SUSPENDED", text, Change("agent", "resumed", "admin"))


def _unknown(q: Question) -> Judgement | None:
    if q.agent.registered is not None:
        return None
    text = f"agent {shown(q.agent_id)} is not registered: register it first."
    return denied("agent.known", "AGENT_UNKNOWN", text, Change("agent", "registered", "admin"))


def _revoked(q: Question) -> Judgement | None:
    return revoked(q.agent)


def _suspended(q: Question) -> Judgement | None:
    return suspended(q.agent)


def _no_packet(q: Question) -> Judgement | None:
    if q.packet is not None and q.packet.task_id == q.task_id:
        return None
    task = f" for {shown(q.task_id)}" if q.task_id else ""  # Explain asks without one
    text = f"{shown(q.agent_id)} has no instruction packet{task}: a run gives it one (provost run AGENT TASK ...)."
    change = Change("packet", "that of a run for this task", "operator")
    return denied("packet.present", "NO_PACKET", text, change)


def _forbidden(q: Question) -> Judgement | None:
    assert q.packet is not None
    name = q.action.name
    pattern = first_match(q.packet.forbidden, name) if q.packet.forbidden else None
    if pattern is None:
        return None
    text = f"the packet forbids {shown(pattern)}, as {shown(name)} is: it would take another packet."
    change = Change("packet", f"one that does not forbid {shown(name)}", "operator")
    return denied("packet.forbidden", "FORBIDDEN_BY_PACKET", text, change)


def _out_of_scope(q: Question) -> Judgement | None:
    assert q.packet is not None
    name = q.action.name
    if not q.packet.scope or first_match(q.packet.scope, name) is not None:
        return None
    text = f"the packet's scope lacks {shown(name)}: it would take another packet."
    change = Change("packet", f"one with {shown(name)} in its scope", "operator")
    return denied("packet.scope", "OUT_OF_SCOPE", text, change)


def _step_skipped(q: Question) -> Judgement | None:
    assert q.packet is not None
    required = q.packet.required_steps
    if not required or q.mode is Mode.SAFE:
        return None
    skipped = [step for step in BEFORE_EXECUTE if step in required and step not in q.steps_done]
    if not skipped:
        return None
    text = f"the packet requires {', '.join(skipped)} before anything is done: the run would have to do it."
    changes = (Change("step", step, "agent") for step in skipped)
    return denied("packet.required_steps", "REQUIRED_STEP_SKIPPED", text, *changes)


def spent(short: BudgetRefusal) -> Judgement:
    """The verdict on what a budget has too little left for."""
    change = Change("budget", f"more {short.unit} in {short.budget_id}", "admin")
    return denied(f"budget.{short.budget_id}", "BUDGET_SPENT", short.text, change)


def _budget_spent(q: Question) -> Judgement | None:
    return None if q.shortage is None else spent(q.shortage)


def _unreadable(q: Question) -> Judgement | None:
    if q.policy is not None:
        return None
    text = "the policy set in force cannot be read: publish one that can."
    change = Change("policy_set", "one that can be read", "admin")
    return denied("policy.readable", "POLICY_SET_INVALID", text, change)


def granted(q: Question) -> tuple[Row, Grant] | None:
    """The row of the tier table for this action, and the first capability in it that covers its target."""
    assert q.policy is not None
    action = q.action
    row = q.policy.row(q.agent.tier, action.environment, action.name)
    if row is None:
        return None
    for grant in row.grants:
        if grant.covers(action.target):
            return row, grant
    return None


def _outside_table(q: Question) -> Judgement | None:
    if granted(q) is not None:
        return None
    assert q.policy is not None
    action, tier, policy = q.action, q.agent.tier, q.policy
    rule = f"tier.{tier}"
    if action.name not in policy.actions:
        name = shown(action.name)
        text = f"policy set {policy.version} knows no {name}: it would take a set that names it."
        return denied(rule, "ACTION_UNKNOWN", text, Change("policy_set", f"one that names {name}", "admin"))
    if action.environment not in ENVIRONMENTS:
        text = f"{shown(action.environment)} is no environment: it must be sandbox, staging or production."
        change = Change("action", "in sandbox, staging or production", "agent")
        return denied(rule, "ENVIRONMENT_NOT_ALLOWED", text, change)
    where = f"{action.name} in {action.environment}"
    least = policy.least_tier(action.environment, action.name, action.target)
    if least is not None:
        text = f"{tier} may not do {where}: it would take {least} or higher."
        return denied(rule, "TIER_TOO_LOW", text, *_to_tier(q, policy, least))
    change = Change("policy_set", f"one that allows {where}", "admin")
    if policy.row(tier, action.environment, action.name) is not None:
        text = f"{tier} may do {where}, but not to {shown(action.target)}: it would take another policy set."
        return denied(rule, "OUT_OF_SCOPE", text, change)
    elsewhere = any(policy.least_tier(each, action.name, action.target) for each in ENVIRONMENTS)
    text = (
        f"no tier may do {where}: it would take another {'environment or ' if elsewhere else ''}policy set."
    )
    return denied(rule, "ENVIRONMENT_NOT_ALLOWED", text, change)


def hopeless(q: Question) -> Judgement | None:
    """The refusal that no yes can help, nor anything that may happen before it is given; None: it may be of use.

    An agent may yet be resumed, get another packet or a higher tier: that is no reason to ask nobody.
    """
    refusal = _unknown(q) or _revoked(q)
    if refusal is None and q.policy is not None:
        refusal = _outside_table(q)
    return None if refusal is None or refusal.reason == "TIER_TOO_LOW" else refusal


def _to_tier(q: Question, policy: PolicySet, least: Tier) -> tuple[Change, ...]:
    changes = (Change("tier", least.value, "admin"),)
    row = policy.row(least, q.action.environment, q.action.name)
    if row is None or q.mode is Mode.SAFE:
        return changes
    return (*changes, *(Change("approval", rule, "approver") for rule in row.approval_rules))


def _mode_unknown(q: Question) -> Judgement | None:
    if q.mode is not None:
        return None
    text = "the run's mode is unknown: it must be safe, assisted or auto."
    return denied("mode.known", "MODE_UNKNOWN", text, Change("mode", "SAFE, ASSISTED or AUTO", "operator"))


def _flow_denied(q: Question) -> Judgement | None:
    assert q.policy is not None
    if not q.policy.rules.flows or q.labels == ():
        return None
    action = q.action
    if q.labels is None:
        text = "the labels of the run cannot be read, so that no flow rule can be kept: start another run."
        return denied("flow", "FLOW_DENIED", text, Change("labels", "another run", "operator"))
    flow = q.policy.flow(q.labels, action.name, action.environment, action.target)
    if flow is None:
        return None
    stuck = ", ".join(sorted(set(flow.labels).intersection(q.labels)))
    text = (
        f"the run has read what is labelled {stuck}, and flow rule {flow.id} does not let that go into {action.name} "
        f"in {action.environment}: it would take a run that has not."
    )
    return denied(
        f"flow.{flow.id}", "FLOW_DENIED", text, Change("labels", f"a run without {stuck}", "operator")
    )


def _rule_denied(q: Question) -> Judgement | None:
    assert q.policy is not None
    if q.rules is None and not q.policy.rules.rego:
        return None
    return _said(q.rules, "rule", "RULE_DENIED", "RULE_FAILED", "the policy set's own rules")


def _opa_denied(q: Question) -> Judgement | None:
    if q.opa is None and not q.asks_opa:
        return None
    return _said(q.opa, "opa", "OPA_DENIED", "OPA_UNREACHABLE", "the rules of the OPA server")


def _said(said: RuleOutcome | None, kind: str, denial: str, failure: str, whose: str) -> Judgement | None:
    failed = "they were not asked" if said is None else said.failed
    if said is None or failed:
        text = f"{whose} could not be evaluated ({shown(failed)}): they would have to be."
        return denied(kind, failure, text, Change("policy_set", f"{whose} in order", "admin"))
    if not said.denied:
        return None
    first = said.denied[0]
    text = f"rule {shown(first.rule)} refuses it: {shown(first.text)}."
    changes = (
        Change("policy_set", f"one whose rule {shown(each.rule)} lets it", "admin") for each in said.denied
    )
    return denied(f"{kind}.{first.rule}", denial, text, *changes)


EARLY = (
    Check("agent.known", "the agent is registered", _unknown),
    Check("agent.revoked", "it is not revoked", _revoked),
    Check("agent.suspended", "it is not suspended", _suspended),
    Check("packet.present", "it has an instruction packet for the task", _no_packet),
    Check("packet.forbidden", "the packet does not forbid the action", _forbidden, "packet"),
    Check("packet.scope", "the packet's scope leaves room for it", _out_of_scope, "packet"),
    Check("packet.required_steps", "no step that has to come before was skipped", _step_skipped, "packet"),
    Check("budget", "every budget has enough left", _budget_spent),
    Check("policy.readable", "the policy set can be read", _unreadable),
    Check("tier", "the agent's tier may do this", _outside_table, "policy"),
    Check("mode.known", "the run's mode is known", _mode_unknown),
    Check("flow", "no flow rule keeps the run's labels from it", _flow_denied, "policy"),
)
"""What can be looked at without asking anybody."""

LATE = (
    Check("rule", "no custom rule refuses it", _rule_denied, "policy"),
    Check("opa", "no OPA server refuses it", _opa_denied),
)
"""What has to be asked first, and is only asked of what nothing else refuses."""
