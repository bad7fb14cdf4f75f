"""Attempts that were turned away: aggregate `access`, one per replica. Alike ones are folded into one, none is lost."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.decider import Decider


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt, or `count` alike. `actor` is the key's label; the key itself is nowhere."""

    reason: str
    actor: str
    method: str
    peer: str
    count: int
    first_time: datetime
    last_time: datetime

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """What alike ones have in common."""
        return self.reason, self.actor, self.method, self.peer


@dataclass(frozen=True, slots=True)
class RecordRefusals:
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class AccessRefused:
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """All that is remembered: how many were turned away."""

    refused: int = 0


def decide(_: Access, command: RecordRefusals) -> AccessRefused | None:
    return AccessRefused(fold(command.refusals)) if command.refusals else None


def evolve(access: Access, event: AccessRefused) -> Access:
    return Access(access.refused + sum(refusal.count for refusal in event.refusals))


ACCESS = Decider(context="gateway", aggregate="access", initial=Access(), decide=decide, evolve=evolve)


def fold(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """`refusals` with alike ones counted together, oldest first."""
    folded: dict[tuple[str, str, str, str], Refusal] = {}
    for each in refusals:
        earlier = folded.get(each.kind)
        folded[each.kind] = each if earlier is None else merge(earlier, each)
    return tuple(sorted(folded.values(), key=lambda each: each.first_time))


def merge(one: Refusal, other: Refusal) -> Refusal:
    """Two alike ones as one."""
    return replace(
        one,
        count=one.count + other.count,
        first_time=min(one.first_time, other.first_time),
        last_time=max(one.last_time, other.last_time),
    )
