"""What a decision rests on, and what it comes to. How one leads to the other is in `checks` and `decision`.

Made tens of thousands of times a second: what is made per decision is not `frozen`, which takes three times as long.
Nobody changes it all the same.
"""

from dataclasses import dataclass
from enum import StrEnum

from services.policy.domain.action import Action, Mode, Packet
from services.policy.domain.agent import Agent
from services.policy.domain.drawing import BudgetRefusal
from services.policy.domain.policyset import PolicySet
from services.policy.domain.rules import RuleOutcome


class Verdict(StrEnum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would have to be otherwise for a yes: `what` it is, what `to`, and who can (`by`)."""

    what: str
    to: str
    by: str


@dataclass(slots=True)
class Question:
    """Everything a decision rests on.

    `policy` is None when the set in force cannot be read, `labels` when those of the run cannot. `rules` is what custom
    rules say and `opa` what an OPA server says; None: they have not been asked, and where there are some to ask
    (`asks_opa`), that is a refusal.
    """

    action: Action
    mode: Mode | None
    agent_id: str
    task_id: str
    agent: Agent
    packet: Packet | None
    policy: PolicySet | None
    labels: tuple[str, ...] | None = ()
    steps_done: tuple[str, ...] = ()
    shortage: BudgetRefusal | None = None
    rules: RuleOutcome | None = None
    opa: RuleOutcome | None = None
    asks_opa: bool = False


@dataclass(slots=True)
class Judgement:
    """A verdict, the rule and reason it rests on, one sentence on why, and what would have to change for a yes."""

    verdict: Verdict
    rule: str
    reason: str
    explanation: str
    obligations: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


def denied(rule: str, reason: str, explanation: str, *changes: Change) -> Judgement:
    return Judgement(Verdict.DENY, rule, reason, explanation, (), changes)
