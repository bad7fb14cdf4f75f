"""The book the ledger writes in: SQLite or another database. Which one must not show in what it answers, least of all
in the root."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Entry, Message
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Slice
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    ApprovalQuestion,
    EventQuestion,
    Listed,
    Page,
    PromotionQuestion,
    ViolationQuestion,
)
from services.ledger.domain.records import SignedHead
from services.ledger.domain.rows import ActionRow, AgentRow, ApprovalRow, PromotionRow, ViolationRow


class Book(Protocol):
    """Everything the ledger keeps. Derived from the event log: may vanish, and comes back equal."""

    async def open(self) -> None:
        """Open it, or make it if it is not there; until then everything else is Unavailable. Safe to repeat.

        Raises:
            LedgerDiverged: it is damaged, or does not add up.
            Unavailable: it cannot be opened now.
        """
        ...

    async def close(self) -> None:
        """Finish what is being written and let go."""
        ...

    async def position(self) -> Position:
        """How far it is; when it does not add up, how far its rows or it itself say that it is."""
        ...

    async def append(self, messages: Sequence[Message]) -> Position:
        """Write what follows the position: rows, tiles, projections and position in one transaction, all or none.

        Safe to repeat: what it has already is passed over. Durable when it returns.

        Raises:
            LedgerDiverged: the messages leave a gap, or what it holds does not add up.
            WriterFenced: another writer was quicker; repeat.
            Unavailable: no room or no database; nothing was written; repeat later.
        """
        ...

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]:
        """The hashes of each slice, concatenated. A slice beyond the tree is answered short."""
        ...

    async def leaf_hashes(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """Sequence and leaf hash of the rows from `first` to `last`, in order; what is missing is left out."""
        ...

    async def rows(self, first: int, last: int) -> list[Entry]:
        """The rows from `first` to `last`, of every tenant, in order; what is missing is left out. Ask for few."""
        ...

    async def event(self, tenant: str, event_id: str) -> Entry | None:
        """The first event of the tenant with this id."""
        ...

    async def events(self, question: EventQuestion, page: Page) -> Listed[Entry]:
        """A page, as every list here: a bounded amount of work, whatever is asked of however many rows.

        So it may hold fewer rows than there is room for, even none, and still have an end to go on from.
        """
        ...

    async def actions(self, question: ActionQuestion, page: Page) -> Listed[ActionRow]: ...

    async def agents(self, question: AgentQuestion, page: Page) -> Listed[AgentRow]: ...

    async def violations(self, question: ViolationQuestion, page: Page) -> Listed[ViolationRow]: ...

    async def promotions(self, question: PromotionQuestion, page: Page) -> Listed[PromotionRow]: ...

    async def approvals(self, question: ApprovalQuestion, page: Page) -> Listed[ApprovalRow]: ...

    async def effect(self, tenant: str, effect_id: str) -> int | None:
        """The sequence of the event that says an effect was intended."""
        ...

    async def decision(self, tenant: str, decision_id: str) -> int | None:
        """The sequence of the event in which a decision was made."""
        ...

    async def approval(self, tenant: str, approval_id: str) -> ApprovalRow | None: ...

    async def keep_head(self, head: SignedHead) -> None:
        """Remember a signed head; repeating it changes nothing."""
        ...

    async def heads(self) -> Sequence[SignedHead]:
        """Every head it remembers, smallest first."""
        ...

    async def audit(self, heads: Sequence[Checkpoint]) -> "Audited":
        """Recompute rows, leaves, tiles, root and projections from what is stored, in one snapshot.

        The tree must agree with every head it remembers, and with `heads`. One at a time, others wait for their turn;
        nobody who reads or writes waits for it, and nor does a draft that takes the book's place.
        """
        ...

    async def beside(self) -> "Draft":
        """A book beside this one, made for filling quickly: the one that an earlier rebuild has left if it adds up, or
        else an empty one."""
        ...


class Draft(Protocol):
    """A book that is being rebuilt: nobody reads it yet. After a crash it is there up to some position, or gone."""

    async def position(self) -> Position: ...

    async def append(self, messages: Sequence[Message]) -> Position:
        """As `Book.append`, but sure to be durable only after `publish`."""
        ...

    async def hashes(self, slices: Sequence[Slice]) -> list[bytes]: ...

    async def keep_head(self, head: SignedHead) -> None: ...

    async def finish(self) -> None:
        """Build the indexes, check the database's own integrity, make everything durable; `append` still works.

        Raises:
            LedgerDiverged: the database is damaged.
            Unavailable: no room.
        """
        ...

    async def publish(self) -> None:
        """Take the place of the book it was made beside, in one step; that one answers from this one then.

        Nobody may append to either meanwhile. Raises Unavailable if that fails; the old book then still stands.
        """
        ...

    async def close(self) -> None:
        """Let go of it, to be gone on with later unless it was published or discarded. Safe to repeat.

        One that ran out of room is removed: the book needs the room.
        """
        ...

    async def discard(self) -> None:
        """Close and remove it."""
        ...


@dataclass(frozen=True, slots=True)
class Audited:
    """What a book's audit found, and the position it looked at."""

    position: Position
    findings: tuple[Finding, ...]
