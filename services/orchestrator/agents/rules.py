"""What a known failure is: its patterns, its thresholds, what it says and what may help. Values only;
`rulebook` reads them from files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.orchestrator.agents.incident import Severity

_SURE = 0.75
_WORD = re.compile(r"[a-z]+")
SLOT = re.compile(r"\{(\w+)(?:\|([^}]*))?\}")  # `{name}` or `{name|otherwise}` in a remedy


@dataclass(frozen=True, slots=True)
class Remedy:
    """What may help: an action, its target and parameters (with `{slots}`), why; `each` asks for one action
    per value of a slot.
    """

    action: str
    target: str
    parameters: Mapping[str, str]
    why: str
    each: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A class of causes: its name for people, the causes it may lead to, what may help."""

    id: str
    name: str
    leads_to: frozenset[str]
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One known failure."""

    id: str
    cause: str
    severity: Severity
    confidence: float
    words: frozenset[str]
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None
    shape: re.Pattern[str] | None
    despite_level: bool
    overrides_level: bool
    tempered: bool
    over_benign: bool
    least_count: int
    least_total: int
    per: str
    within_seconds: int
    only_after: str
    only_after_count: int
    counted_by: tuple[re.Pattern[str], ...]
    extract: Mapping[str, tuple[re.Pattern[str], ...]]
    resolved_by: re.Pattern[str] | None
    says: str
    remedies: tuple[Remedy, ...]
    examples: tuple[str, ...]

    @property
    def doubts_ordinary(self) -> bool:
        """Whether it is sure enough to doubt a line that calls itself ordinary."""
        return self.despite_level or self.confidence >= _SURE


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, most telling first, and the words that make a message worth a look."""

    rules: tuple[Rule, ...]
    causes: Mapping[str, Cause]
    by_word: Mapping[str, tuple[int, ...]]
    benign: re.Pattern[str]
    benign_words: frozenset[str]
    counts: re.Pattern[str]  # what is benign with one number and not with another
    detail: re.Pattern[str]
    addressed: re.Pattern[str]
    addressed_words: frozenset[str]
    telling: frozenset[str]  # all of the words together

    def tell(self, words: set[str]) -> bool:
        """Whether a message with these words can show anything at all."""
        return not words.isdisjoint(self.telling)

    def calm(self, text: str, words: set[str]) -> bool:
        """Whether a lower-cased message says that all is well, or well again."""
        return not self.benign_words.isdisjoint(words) and self.benign.search(text) is not None

    def candidates(self, words: Iterable[str]) -> list[int]:
        """The rules that share a word with a message, most telling first."""
        found: set[int] = set()
        for word in words:
            if word in self.by_word:
                found.update(self.by_word[word])
        return sorted(found)


def words_of(lowered: str) -> set[str]:
    """The words of a lower-cased message, letters only."""
    return set(_WORD.findall(lowered))
