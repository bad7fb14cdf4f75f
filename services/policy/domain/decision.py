"""The decision: may this agent do this, here, now? Pure, and the first refusal wins.

    agent known → not revoked, not suspended → packet (is there one, forbidden, scope, required steps) → budget →
    tier table → mode → flow → custom rules → OPA → approval needed?

Whatever is not named is refused: see `checks`. Token and tenant are looked at before, the approval itself after: see
`approved`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.faults import Fault
from services.policy.domain.action import Action, Mode
from services.policy.domain.agent import Agent
from services.policy.domain.amounts import Amounts
from services.policy.domain.checks import EARLY, LATE, granted, revoked, spent, suspended
from services.policy.domain.question import Change, Judgement, Question, Verdict, denied
from services.policy.domain.quoted import shown
from services.policy.domain.reservation import Reservation
from services.policy.domain.tier import Tier

__all__ = [
    "Change", "DecisionRecord", "DecisionsMade", "Judgement", "Looked", "Question", "Verdict", "all_changes",
    "approval_refused", "approved", "heard", "judge", "looked_at", "no_lock", "powerless", "refused", "revoked",
    "spent", "token_refused",
]  # fmt: skip

DRY_RUN = "dry_run"
MAX_WISH = 500  # characters of it in an explanation


@dataclass(slots=True)
class DecisionRecord:
    """One decision, as it is kept. `mode` and `tier` are None where nobody knows them. See `question` on `frozen`."""

    decision_id: str
    agent_id: str
    run_id: str
    task_id: str
    action: Action
    mode: Mode | None
    verdict: Verdict
    rule: str
    reason: str
    explanation: str
    tier: Tier | None
    policy_version: str
    action_digest: str
    approval_id: str
    agent_version: str
    at: datetime
    labels: tuple[str, ...] = ()
    steps_done: tuple[str, ...] = ()
    cost: Amounts | None = None


@dataclass(frozen=True, slots=True)
class DecisionsMade:
    """All decisions that were committed together, of one tenant by one replica, and what was set aside for them."""

    decisions: tuple[DecisionRecord, ...]
    reservations: tuple[Reservation, ...] = ()


def judge(question: Question) -> Judgement:
    """The verdict on `question`, before any approval is looked at."""
    return refused(question) or heard(question)


def refused(question: Question) -> Judgement | None:
    """The refusal that needs nobody to be asked; None: custom rules and OPA have a say, if there are any."""
    for check in EARLY:
        refusal = check.refusal(question)
        if refusal is not None:
            return refusal
    return None


def heard(question: Question) -> Judgement:
    """The verdict on what `refused` has let pass, once custom rules and OPA have been asked."""
    for check in LATE:
        refusal = check.refusal(question)
        if refusal is not None:
            return refusal
    return _unrefused(question)


def _unrefused(question: Question) -> Judgement:
    action, mode = question.action, question.mode
    found = granted(question)
    assert found is not None
    row, grant = found
    if mode is Mode.SAFE:
        text = f"{grant.rule} has {action.name} in {action.environment}; a safe run only shows it."
        return Judgement(Verdict.ALLOW, grant.rule, "ALLOWED_DRY_RUN", text, (DRY_RUN,))
    asking = row.approval_rule or _rule_asking(question) or ("mode.assisted" if mode is Mode.ASSISTED else "")
    if asking:
        what = f"{action.name} in {action.environment}"
        text = f"{asking} asks for a person's approval of {what}: a run requests it by itself, and approvers answer."
        changes = tuple([Change("approval", rule, "approver") for rule in row.approval_rules or (asking,)])
        return Judgement(Verdict.NEEDS_APPROVAL, asking, "APPROVAL_REQUIRED", text, (), changes)
    text = f"{grant.rule} has {action.name} in {action.environment}, and {question.agent.tier} includes it."
    return Judgement(Verdict.ALLOW, grant.rule, "ALLOWED_BY_TIER", text)


def _rule_asking(question: Question) -> str:
    for kind, said in (("rule", question.rules), ("opa", question.opa)):
        if said is not None and said.approvals:
            return f"{kind}.{said.approvals[0].rule}"
    return ""


@dataclass(frozen=True, slots=True)
class Looked:
    """One thing that was looked at, and what there was to see."""

    rule: str
    passed: bool
    text: str


def looked_at(question: Question) -> Iterator[Looked]:
    """What `judge` looks at, in its order; what stands behind a refusal it does not look at."""
    for check in EARLY + LATE:
        refusal = check.refusal(question)
        if refusal is not None:
            yield Looked(refusal.rule, False, refusal.explanation)
            return
        yield Looked(check.rule, True, f"{check.passes}.")
    judgement = _unrefused(question)
    passed = judgement.verdict is Verdict.ALLOW
    yield Looked("approval", passed, "no approval is needed." if passed else judgement.explanation)


def all_changes(question: Question) -> tuple[Change, ...]:
    """Everything that would have to change for a yes, and not just what comes first; nothing, if it is one."""
    refusals = [
        refusal
        for check in EARLY
        if check.can_look(question) and (refusal := check.refusal(question)) is not None
    ]
    if not refusals:
        return judge(question).changes
    # Custom rules and OPA were not asked: they say nothing of what is refused without them.
    changes = [change for refusal in refusals for change in refusal.changes]
    if question.policy is not None and granted(question) is not None and question.mode is not None:
        changes += _unrefused(question).changes
    return tuple(dict.fromkeys(changes))


def approved(judgement: Judgement, approval_id: str) -> Judgement:
    """What becomes of a judgement that needed approval, once a good one has been spent on it."""
    text = (
        f"{judgement.rule} asks for a person's approval; {shown(approval_id)} gives it for this action, once."
    )
    return Judgement(Verdict.ALLOW, judgement.rule, "ALLOWED_BY_APPROVAL", text)


def approval_refused(judgement: Judgement, fault: Fault) -> Judgement:
    """What becomes of it when the approval is no good; one that nobody has answered yet may still become so."""
    pending = fault.reason == "APPROVAL_PENDING"
    change = Change(
        "approval", "answered with yes" if pending else f"another one: {judgement.rule}", "approver"
    )
    verdict = Verdict.NEEDS_APPROVAL if pending else Verdict.DENY
    return Judgement(verdict, judgement.rule, fault.reason, f"{fault.text}.", (), (change,))


def powerless(agent: Agent) -> Judgement | None:
    """The verdict on anything that `agent` asks, if it may do nothing any more."""
    return revoked(agent) or suspended(agent)


def asked_otherwise(judgement: Judgement, wish: str) -> Judgement:
    """A refusal, and what those said who would have it otherwise: whoever started the run is to read it."""
    said = "".join(each if each.isprintable() else " " for each in wish[:MAX_WISH])
    change = Change("approval", "another one, for what was wished instead", "agent")
    return replace(
        judgement, explanation=f"{judgement.explanation} What they said: {said}", changes=(change,)
    )


def token_refused(fault: Fault) -> Judgement:
    """The verdict when the session token does not say who is asking."""
    return denied("token", fault.reason, f"{fault.text}.", Change("token", "a new session's", "agent"))


def no_lock(token: int) -> Judgement:
    """The verdict when the log has not come as far as the lock that is claimed."""
    change = Change("fencing_token", "that of the lock the run has", "agent")
    return denied("token", "FENCING_TOKEN_STALE", f"no lock bears the fencing token {token} yet.", change)
