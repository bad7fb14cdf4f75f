"""How many people an action needs, and which: what the policy set in force asks, never what a caller says.

Where several rules ask about one action, all of them have to be satisfied: none is less for standing behind another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.policy.domain.action import Action, Mode
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.tier import Tier, step

PROMOTE = "agent.promote"
"""The action of an approval that policy requests itself, in `GOVERNED`, wherever the agent itself works."""
GOVERNED = "production"


@dataclass(frozen=True, slots=True)
class Part:
    """So many of these people (empty: of all approvers): what one rule asks for."""

    needed: int
    approvers: tuple[str, ...] = ()

    def met_by(self, people: frozenset[str]) -> bool:
        return len(people.intersection(self.approvers) if self.approvers else people) >= self.needed


@dataclass(frozen=True, slots=True)
class Demand:
    """Which rule asks for people, how many of them, which ones (empty: every approver), and for how long.

    `needed` and `approvers` say whom to ask. What is enough in the end is said by `parts`, one for each rule if there
    are several.
    """

    rule: str
    needed: int = 1
    approvers: tuple[str, ...] = ()
    ttl_seconds: int = 3600
    parts: tuple[Part, ...] = ()

    def met_by(self, people: frozenset[str]) -> bool:
        """Whether those who said yes are as many as each rule asks for, and the right ones."""
        return all(part.met_by(people) for part in self.parts or (Part(self.needed, self.approvers),))


def demand_of(policy: PolicySet | None, rule: str, tier: Tier, action: Action) -> Demand:
    """What `rule`, which a decision has named, asks for, together with all that ask for people beside it.

    One person, if the set says nothing of it, as of `mode.assisted`.
    """
    row = None if policy is None else policy.row(tier, action.environment, action.name)
    together = row is not None and rule in row.approval_rules
    return _together(policy, row.approval_rules if row is not None and together else (rule,))


def asked_of(policy: PolicySet | None, tier: Tier, action: Action, mode: Mode | None) -> Demand:
    """What is asked of people before an agent of `tier` may do this."""
    row = None if policy is None else policy.row(tier, action.environment, action.name)
    rule = "" if row is None else row.approval_rule or ""
    return demand_of(policy, rule or ("mode.assisted" if mode is Mode.ASSISTED else ""), tier, action)


def asked_of_promotion(policy: PolicySet, tier: Tier) -> Demand:
    """What is asked of people before an agent of `tier` is promoted, or one person: by the rules that fit that tier or
    the next, as whatever needs two people at the top is worth no less on the way there."""
    between = {tier, step(tier, 1)}
    fitting = [
        name
        for name, each in policy.approval_rules.items()
        if not between.isdisjoint(each.tiers)
        and GOVERNED in each.environments
        and first_match(each.actions, PROMOTE) is not None
    ]
    return _together(policy, fitting) if fitting else Demand("promotion")


def _together(policy: PolicySet | None, names: Sequence[str]) -> Demand:
    """The demand of all these rules, in the name of the first."""
    known = (
        []
        if policy is None
        else [policy.approval_rules[name] for name in names if name in policy.approval_rules]
    )
    if not known:
        return Demand(names[0])
    parts = tuple(Part(rule.needs, rule.approvers) for rule in known)
    whom, seconds = _whom(parts), min(rule.ttl_seconds for rule in known)
    return Demand(names[0], whom.needed, whom.approvers, seconds, parts if len(parts) > 1 else ())


def _whom(parts: Sequence[Part]) -> Part:
    """Whom to ask so that all are satisfied: as many as the most, of those whom all name who name anybody.

    If those are too few, as where one rule names one person and another rule another: of each list as many as it needs.
    """
    most = max(part.needed for part in parts)
    lists = [part for part in parts if part.approvers]
    if not lists:
        return Part(most)
    everybody = dict.fromkeys(key for part in lists for key in part.approvers)
    common = tuple(key for key in everybody if all(key in part.approvers for part in lists))
    if len(common) >= most:
        return Part(most, common)
    of_lists = min(sum(part.needed for part in lists), len(everybody))
    return Part(of_lists, tuple(everybody)) if of_lists >= most else Part(most)
