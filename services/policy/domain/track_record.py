"""What an agent has shown of itself, and which move of its tier that asks for.

Only outcomes count: a run that did something, came to its end, and was looked at by VERIFY. Trying counts for nothing,
and neither does a run that did nothing. A run that failed, or a violation, ends the row of good ones.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from services.policy.domain.actor import POLICY
from services.policy.domain.agent import Agent, AgentState
from services.policy.domain.outcomes import ErrorNoted, Outcome, RunActed, RunChecked, RunOver
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import DemotionRule, PromotionRule
from services.policy.domain.standing import DemoteAgent, Grounds, PromoteAgent
from services.policy.domain.tier import Tier, step

REMEMBERED_RUNS = 20


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """`compliant_in_row`, `violations_at_tier` and `run_ids` are since the agent got its tier; if it has moved, `since`
    is when."""

    verified_runs: int = 0
    compliant_in_row: int = 0
    violations: int = 0
    violations_at_tier: int = 0
    run_ids: tuple[str, ...] = ()
    since: datetime | None = None


NOTHING_SHOWN = TrackRecord()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run that is not over."""

    acted: bool = False
    checks: int = 0
    passed: bool = False


@dataclass(slots=True)
class TrackRecords:
    """Folds outcomes, in the order of the log, into the records of one tenant's agents."""

    records: dict[str, TrackRecord] = field(default_factory=dict)
    runs: dict[str, Seen] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> str:
        """Whose record this has changed; empty: nobody's."""
        match outcome:
            case RunActed(run_id=run_id):
                self.runs[run_id] = replace(self.runs.get(run_id, Seen()), acted=True)
                return ""
            case RunChecked(run_id=run_id, checks=checks, passed=passed):
                self.runs[run_id] = replace(self.runs.get(run_id, Seen()), checks=checks, passed=passed)
                return ""
            case RunOver(run_id=run_id, agent_id=agent_id):
                seen = self.runs.pop(run_id, Seen())
                return self._put(agent_id, _ended(self.of(agent_id), seen, outcome))
            case ErrorNoted(agent_id=agent_id, violation=violation):
                return self._put(agent_id, _violated(self.of(agent_id))) if violation else ""

    def of(self, agent_id: str) -> TrackRecord:
        return self.records.get(agent_id, NOTHING_SHOWN)

    def new_tier(self, agent_id: str, since: datetime) -> None:
        """From here on it is counted anew."""
        self.records[agent_id] = replace(
            self.of(agent_id), compliant_in_row=0, violations_at_tier=0, run_ids=(), since=since
        )

    def _put(self, agent_id: str, record: TrackRecord) -> str:
        if not agent_id or record == self.of(agent_id):
            return ""
        self.records[agent_id] = record
        return agent_id


def _ended(record: TrackRecord, seen: Seen, over: RunOver) -> TrackRecord:
    if over.refused:
        return record
    verified = over.completed and seen.acted and seen.checks > 0
    if verified and seen.passed and over.compliant:
        run_ids = (*record.run_ids, over.run_id)[-REMEMBERED_RUNS:]
        in_row = record.compliant_in_row + 1
        return replace(
            record, verified_runs=record.verified_runs + 1, compliant_in_row=in_row, run_ids=run_ids
        )
    if verified:
        return replace(record, verified_runs=record.verified_runs + 1, compliant_in_row=0, run_ids=())
    return record if over.completed else replace(record, compliant_in_row=0, run_ids=())


def _violated(record: TrackRecord) -> TrackRecord:
    return replace(
        record,
        compliant_in_row=0,
        violations=record.violations + 1,
        violations_at_tier=record.violations_at_tier + 1,
        run_ids=(),
    )


@dataclass(frozen=True, slots=True)
class Move:
    """What a rule asks for. With `needs_approval`, people are asked first; `attempt` counts how often the row was long
    enough for it, so that they are asked again only after another such row; `row` tells one row from the next."""

    command: PromoteAgent | DemoteAgent
    needs_approval: bool = False
    attempt: int = 1
    row: int = 0


def moves(record: TrackRecord, agent: Agent, policy: PolicySet, at: datetime) -> Move | None:
    """The one move, by one tier, that the rules of the set ask for now. A set without such rules moves nobody."""
    if agent.registered is None or agent.state is not AgentState.ACTIVE:
        return None
    if agent.moved is not None and record.since != agent.moved.at:
        return None  # the record is still that of the tier it had: one row moves an agent once
    for demotion in policy.rules.demotions:
        if demotion.tier is agent.tier and record.violations_at_tier >= demotion.violations:
            return _down(record, agent, policy, demotion, at)
    for promotion in policy.rules.promotions:
        clean = record.violations_at_tier <= promotion.most_violations
        if promotion.tier is agent.tier and clean and record.compliant_in_row >= promotion.compliant_in_row:
            return _up(record, agent, policy, promotion, at)
    return None


def _down(
    record: TrackRecord, agent: Agent, policy: PolicySet, rule: DemotionRule, at: datetime
) -> Move | None:
    lower = step(agent.tier, -1)
    if lower is None:
        return None
    why = f"{record.violations_at_tier} violations at {agent.tier}, where {rule.violations} are too many"
    grounds = _grounds(f"demotion.{rule.id}", why, record, policy)
    return Move(DemoteAgent(agent.agent_id, lower, grounds, at, agent.tier_since))


def _up(
    record: TrackRecord, agent: Agent, policy: PolicySet, rule: PromotionRule, at: datetime
) -> Move | None:
    higher = step(agent.tier, 1)
    if higher is None:
        return None
    why = (
        f"{record.compliant_in_row} verified, compliant runs in a row at {agent.tier}, where "
        f"{rule.compliant_in_row} are asked for, and {record.violations_at_tier} violations"
    )
    grounds = _grounds(f"promotion.{rule.id}", why, record, policy)
    command = PromoteAgent(agent.agent_id, higher, grounds, at, agent.tier_since)
    asks = rule.needs_approval or higher is Tier.T4_ARCHITECT
    before = record.verified_runs - record.compliant_in_row
    return Move(command, asks, record.compliant_in_row // rule.compliant_in_row, before)


def _grounds(rule: str, why: str, record: TrackRecord, policy: PolicySet) -> Grounds:
    return Grounds(
        rule,
        why,
        POLICY,
        policy_version=policy.version,
        compliant_in_row=record.compliant_in_row,
        violations=record.violations_at_tier,
        run_ids=record.run_ids,
    )
