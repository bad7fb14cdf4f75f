"""A policy set: which tier may do what, where, and what needs a person's approval. Versioned, replaced as a whole.

Here it is compiled into one row per tier, environment and action, so that a decision is a single lookup. What the set
does not name is not allowed. `policyset_document` reads it from a loaded mapping.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kernel.decider import Decider
from services.policy.domain.action import ENVIRONMENTS
from services.policy.domain.faults import PolicySetInvalid, PolicySetStale
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset_rules import ApprovalRule, Capability, Rules
from services.policy.domain.tier import Tier, up_to


@dataclass(frozen=True, slots=True)
class Grant:
    """One capability as it applies to one action; `targets` is empty when every target will do."""

    rule: str
    targets: tuple[str, ...]

    def covers(self, target: str) -> bool:
        return not self.targets or first_match(self.targets, target) is not None


@dataclass(frozen=True, slots=True)
class Row:
    """All that a tier may do with one action in one environment."""

    grants: tuple[Grant, ...]
    approval_rule: str | None


class PolicySet:
    """A compiled set. Immutable once built."""

    def __init__(
        self,
        version: str,
        actions: Mapping[str, str],
        ttl_seconds: Mapping[Tier, int],
        capabilities: tuple[Capability, ...],
        approval_rules: tuple[ApprovalRule, ...],
        rules: Rules = Rules(),  # noqa: B008 - frozen
    ) -> None:
        self.version = version
        self.rules = rules
        self.approval_rules = {f"approval.{rule.id}": rule for rule in approval_rules}
        self.actions = dict(actions)
        self.ttl_seconds = dict(ttl_seconds)
        self._rows: dict[tuple[Tier, str, str], Row] = {}
        for tier in Tier:
            for environment in ENVIRONMENTS:
                for action in self.actions:
                    row = _row(tier, environment, action, capabilities, approval_rules)
                    if row.grants:
                        self._rows[tier, environment, action] = row

    def row(self, tier: Tier, environment: str, action: str) -> Row | None:
        """What `tier` may do with `action` in `environment`; None when it may not at all."""
        return self._rows.get((tier, environment, action))

    def least_tier(self, environment: str, action: str, target: str) -> Tier | None:
        """The lowest tier that may do this."""
        for tier in Tier:
            row = self.row(tier, environment, action)
            if row is not None and any(grant.covers(target) for grant in row.grants):
                return tier
        return None


def _row(
    tier: Tier,
    environment: str,
    action: str,
    capabilities: tuple[Capability, ...],
    approval_rules: tuple[ApprovalRule, ...],
) -> Row:
    included = up_to(tier)
    grants = tuple(
        Grant(f"tier.{each.tier}", () if "*" in each.targets else each.targets)
        for each in sorted(
            capabilities, key=lambda each: included.index(each.tier) if each.tier in included else 99
        )
        if each.tier in included
        and environment in each.environments
        and first_match(each.actions, action) is not None
    )
    needs = next(
        (
            f"approval.{rule.id}"
            for rule in approval_rules
            if tier in rule.tiers
            and environment in rule.environments
            and first_match(rule.actions, action) is not None
        ),
        None,
    )
    return Row(grants, needs)


@dataclass(frozen=True, slots=True)
class PublishPolicySet:
    """Put a set in force instead of `replaces_version`; `in_force` is what holds when nothing was published."""

    version: str
    document: str
    replaces_version: str
    in_force: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PolicySetPublished:
    version: str
    document: str
    by: str
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """The newest published document; empty as long as nothing was published."""

    version: str = ""
    document: str = ""


def decide(published: PublishedSet, command: PublishPolicySet) -> PolicySetPublished | None:
    """What `command` changes: nothing, if this very set is in force already.

    Raises:
        PolicySetStale: another version than `replaces_version` is in force.
        PolicySetInvalid: the version is in use for another document.
    """
    if (published.version, published.document) == (command.version, command.document):
        return None
    in_force = published.version or command.in_force
    if command.replaces_version != in_force:
        raise PolicySetStale(command.replaces_version, in_force)
    if command.version == published.version:
        raise PolicySetInvalid(
            f"version {command.version!r} is in force with other rules: give it a new one", "version"
        )
    return PolicySetPublished(command.version, command.document, command.by, command.at)


def evolve(_published: PublishedSet, event: PolicySetPublished) -> PublishedSet:
    return PublishedSet(event.version, event.document)


POLICY_SET: Decider[PublishPolicySet, PublishedSet, PolicySetPublished] = Decider(
    "policy", "policyset", PublishedSet(), decide, evolve
)
