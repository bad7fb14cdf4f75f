"""What an analysis comes to: evidence, claims, incident, plan, and the cycles of thought that led there.
Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.orchestrator.agents.actions import Tier


class Severity(StrEnum):
    """How grave it is: INFO is no trouble, CRITICAL needs someone now."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for INFO to 3 for CRITICAL."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
NO_CAUSE = "none"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A cited line: its number (from 1), its text made inert and cut, and the SHA-256 (hex) of the whole
    line's UTF-8 without its end.
    """

    line: int
    text: str
    sha256: str

    @property
    def id(self) -> str:
        """How an action names it: `L12`."""
        return f"L{self.line}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template that lines share, how many do, the first and the last of them."""

    template: str
    count: int
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Someone or something that a claim is about: `kind` is a parameter's name (source, unit, …), `value` has
    its strict form.
    """

    kind: str
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing said to be so, and the numbers of the lines that say it. `count` lines in all bear it out,
    from first to last.
    """

    statement: str
    cause: str
    severity: Severity
    confidence: float
    evidence: tuple[int, ...]
    rule: str
    count: int
    first_line: int
    last_line: int
    subjects: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """What is wrong. When nothing is: cause `none`, severity INFO, no claims, no evidence."""

    severity: Severity
    cause: str
    confidence: float
    summary: str
    claims: tuple[Claim, ...]
    evidence: tuple[Evidence, ...]
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """A proposal: one action of the vocabulary, resting on evidence (ids). Proposing does nothing; policy
    decides.
    """

    name: str
    target: str
    environment: str
    parameters: Mapping[str, str]
    least_tier: Tier
    why: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in the order in which they make sense: looking first."""

    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Cycle:
    """One round of reasoning: what was believed, on which lines, the score (0 to 1), what was criticised,
    what changed since the last.
    """

    number: int
    belief: str
    cause: str
    evidence: tuple[int, ...]
    score: float
    criticism: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """All of it: what is wrong, what may help, how it was arrived at."""

    incident: Incident
    plan: Plan
    cycles: tuple[Cycle, ...] = field(default_factory=tuple)
