"""What becomes of recorded decisions under another policy set: which come out otherwise, and how many.

Pure: the facts of then and the sets are handed in. What somebody else than a set had the last word on stays as it was:
a session token, an approver, an OPA server.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.policy.domain.action import Action, Packet
from services.policy.domain.agent import Agent
from services.policy.domain.amounts import Unit
from services.policy.domain.approval import Approval, enough
from services.policy.domain.closing import ReservationsClosed
from services.policy.domain.decision import DecisionRecord, Judgement, Verdict, approved
from services.policy.domain.demand import Demand, demand_of
from services.policy.domain.policyset import PolicySet
from services.policy.domain.spending import SetAside
from services.policy.domain.votes import VOTER

NO_GOOD = frozenset(
    {
        "APPROVAL_UNKNOWN",
        "APPROVAL_PENDING",
        "APPROVAL_REJECTED",
        "APPROVAL_EXPIRED",
        "APPROVAL_USED",
        "CHANGES_REQUESTED",
        "DIGEST_MISMATCH",
    }
)
"""Why an approval that was shown was no good. It would not have been under another set."""
MOST_NAMED = 1000
"""So many agents and so many actions are counted by name; those beyond, together under `*`."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is asked: whose history, under which set, from when, until when (half open), of which agent, if of one."""

    tenant: str
    document: str
    from_time: datetime | None = None
    to_time: datetime | None = None
    agent_id: str = ""
    max_flips: int = 1000

    def covers(self, at: datetime) -> bool:
        return (self.from_time is None or at >= self.from_time) and (
            self.to_time is None or at < self.to_time
        )

    def is_about(self, agent_id: str) -> bool:
        return not self.agent_id or agent_id == self.agent_id


@dataclass(frozen=True, slots=True)
class Flip:
    """One decision that comes out otherwise."""

    decision_id: str
    agent_id: str
    run_id: str
    action: Action
    at: datetime
    before: Verdict
    before_reason: str
    after: Verdict
    after_reason: str
    after_rule: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Totals:
    """So far; `position` is of the log, `decided` are those of the decisions that could be decided again."""

    decisions: int = 0
    flips: int = 0
    by_change: Mapping[str, int] = field(default_factory=dict)
    by_agent: Mapping[str, int] = field(default_factory=dict)
    by_action: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    position: int = 0
    seconds: float = 0.0
    decided: int = 0


@dataclass(frozen=True, slots=True)
class Simulated:
    """How far a simulation is; `flips` are those found since it last said so."""

    flips: tuple[Flip, ...]
    totals: Totals
    done: bool = False


@dataclass(frozen=True, slots=True)
class Then:
    """A recorded decision and what it rested on when it was made; `policy` is None if its set is not known any more.

    `approval` is the one it was asked with; `reserved` says that something was set aside for it; `target` is the
    action's as budgets know it, sealed or not; `told` is false where it only spends what others could.
    """

    record: DecisionRecord
    agent: Agent
    packet: Packet | None
    policy: PolicySet | None
    approval: Approval | None = None
    reserved: bool = False
    target: str = ""
    told: bool = True


Happened = Then | SetAside | ReservationsClosed
"""What a simulation goes through, in the order of the log."""


class FlipCounts:
    """How many came out otherwise, and in what way, of how many."""

    def __init__(self) -> None:
        self.decisions = 0
        self.decided = 0
        self.flips = 0
        self._changes: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        self._actions: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def leave_out(self, why: str, how_many: int = 1) -> None:
        self._left_out[why] += how_many

    def count(self, flip: Flip) -> None:
        self.flips += 1
        self._changes[f"{flip.before}>{flip.after}"] += 1
        self._agents[flip.agent_id] += 1
        self._actions[flip.action.name] += 1

    def totals(self, position: int, seconds: float) -> Totals:
        return Totals(
            self.decisions,
            self.flips,
            dict(self._changes),
            _named(self._agents),
            _named(self._actions),
            dict(self._left_out),
            position,
            seconds,
            self.decided,
        )


def _named(counts: Counter[str]) -> dict[str, int]:
    most = dict(counts.most_common(MOST_NAMED))
    rest = counts.total() - sum(most.values())
    return most | {"*": rest} if rest else most


def decided_elsewhere(record: DecisionRecord) -> bool:
    """Whether no policy set had a say: the session token was no good, or somebody had no vote."""
    return record.rule in ("token", VOTER)


def as_then(then: Then, again: Judgement, policy: PolicySet) -> Judgement:
    """What the decision comes to when `policy` says `again`: the word of an approver, of OPA or of a budget holds.

    A yes holds where those who said it are as many, and the ones, that the rule asks for now. A budget of the set holds
    where its budgets are the same, and where it limits errors and is the same; of others, see `spending`.
    """
    record = then.record
    recorded = Judgement(record.verdict, record.rule, record.reason, record.explanation)
    if again.verdict is Verdict.DENY:
        return again
    if record.reason in ("OPA_DENIED", "OPA_UNREACHABLE"):
        return recorded
    if record.reason == "BUDGET_SPENT" and _still_spent(then, policy):
        return recorded
    if again.verdict is not Verdict.NEEDS_APPROVAL or not record.approval_id:
        return again
    if record.reason in NO_GOOD:
        return recorded
    demand = demand_of(policy, again.rule, then.agent.tier, record.action)
    return approved(again, record.approval_id) if _given(then.approval, record, demand) else again


def _given(approval: Approval | None, record: DecisionRecord, demand: Demand) -> bool:
    """Whether it was given for exactly this, has not been spent on something else, and by as many as `demand` asks."""
    if approval is None or approval.requested is None or approval.answered is None:
        return False
    asked, used = approval.requested, approval.used
    return (
        approval.answered.approved
        and (asked.action_digest, asked.run_id, asked.agent_id)
        == (record.action_digest, record.run_id, record.agent_id)
        and (used is None or used.decision_id == record.decision_id)
        and enough(approval, demand)
    )


def counts_anew(then: Then, policy: PolicySet) -> bool:
    """Whether `policy` has other budgets or prices than the set of then."""
    if then.policy is None:
        return bool(policy.rules.budgets)
    before, now = then.policy.rules, policy.rules
    return (before.budgets, before.prices) != (now.budgets, now.prices)


def _still_spent(then: Then, policy: PolicySet) -> bool:
    """Whether the budget that said no says it still: one by hand, one of the same budgets, or the same one of errors,
    which nobody counts anew."""
    rule = then.record.rule
    if not rule.startswith("budget.set.") or not counts_anew(then, policy):
        return True
    before = () if then.policy is None else then.policy.rules.budgets
    said = next((each for each in before if f"budget.set.{each.id}" == rule), None)
    return said is not None and Unit.ERRORS in said.limits and said in policy.rules.budgets


def flip_of(record: DecisionRecord, after: Judgement) -> Flip | None:
    """How it came out otherwise; None when it did not."""
    if after.verdict is record.verdict:
        return None
    return Flip(
        record.decision_id,
        record.agent_id,
        record.run_id,
        record.action,
        record.at,
        record.verdict,
        record.reason,
        after.verdict,
        after.reason,
        after.rule,
        after.explanation,
    )


def at_tier(agent: Agent, record: DecisionRecord) -> Agent:
    """The agent with the tier that the decision was made at."""
    if record.tier is None or record.tier is agent.tier:
        return agent
    return replace(agent, tier=record.tier)
