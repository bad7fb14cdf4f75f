"""How many people an action needs, and which: what the policy set in force asks, never what a caller says."""

from dataclasses import dataclass

from services.policy.domain.action import Mode
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.tier import Tier

PROMOTE = "agent.promote"
"""The action of an approval that policy requests itself, in `GOVERNED`, wherever the agent itself works."""
GOVERNED = "production"


@dataclass(frozen=True, slots=True)
class Demand:
    """Which rule asks for people, how many of them, which ones (empty: every approver), and for how long."""

    rule: str
    needed: int = 1
    approvers: tuple[str, ...] = ()
    ttl_seconds: int = 3600


def demand_of(policy: PolicySet | None, rule: str) -> Demand:
    """What `rule` asks for; one person, if the set says nothing of it, as of `mode.assisted`."""
    known = None if policy is None else policy.approval_rules.get(rule)
    if known is None:
        return Demand(rule)
    approvers = tuple(each if each.startswith("key:") else f"key:{each}" for each in known.approvers)
    return Demand(rule, max(known.needs, 1), approvers, known.ttl_seconds)


def asked_of(
    policy: PolicySet | None, tier: Tier, environment: str, action: str, mode: Mode | None
) -> Demand:
    """What is asked of people before an agent of `tier` may do this."""
    row = None if policy is None else policy.row(tier, environment, action)
    rule = "" if row is None else row.approval_rule or ""
    return demand_of(policy, rule or ("mode.assisted" if mode is Mode.ASSISTED else ""))


def asked_of_promotion(policy: PolicySet, tier: Tier) -> Demand:
    """What is asked of people before an agent of `tier` is promoted: by the first rule that fits, or one person."""
    for rule, each in policy.approval_rules.items():
        fits = tier in each.tiers and GOVERNED in each.environments
        if fits and first_match(each.actions, PROMOTE) is not None:
            return demand_of(policy, rule)
    return Demand("promotion")
