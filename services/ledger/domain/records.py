"""What the ledger answers with, besides rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint, the signed note it stands in, and when it was signed.

    A head that was computed and never signed has no note and no time. `witnesses` are the names of those whose
    signatures the note bears as well.
    """

    checkpoint: Checkpoint
    note: str = ""
    at: datetime | None = None
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That one event is in a tree."""

    leaf_index: int
    entry: Entry
    path: tuple[bytes, ...]
    head: SignedHead


_DERIVED = frozenset({"indexes", "projections"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found."""

    findings: tuple[Finding, ...]
    head: SignedHead | None

    @property
    def ok(self) -> bool:
        return all(each.ok for each in self.findings)

    @property
    def first_bad_sequence(self) -> int:
        """The first sequence that any finding names, 0 when none does; which counts, `first_bad` says."""
        first = first_bad(self.findings)
        return 0 if first is None else first.sequence


def first_bad(findings: Sequence[Finding]) -> Finding | None:
    """The finding that names the first sequence that does not hold.

    What is derived from rows names a row before the one that is wrong, and counts only when no row is wrong itself.
    """
    named = [each for each in findings if not each.ok and each.sequence]
    return min(named, key=lambda each: (each.name in _DERIVED, each.sequence), default=None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild is. `swapped` once the new book has taken the old one's place."""

    events: int
    target: int
    done: bool = False
    root: bytes = b""
    swapped: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LogState:
    """First and last sequence of the event log; 0 and 0 when it is empty."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """How far the scrubber is: the sequence it looks at next, and how often it has been over the whole book."""

    next: int = 0
    passes: int = 0
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Repaired:
    """Which events the log has lost, and how many of them were put back."""

    first: int
    last: int
    published: int
