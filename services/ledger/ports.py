"""What the ledger needs: a book it writes in, the event log it follows, and a signer it cannot fool.

A book may be SQLite or another database; which one must not show in what it answers, least of all in the root.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import Checkpoint, VerifierKey
from services.ledger.domain.entry import Entry, Message
from services.ledger.domain.export import Filed, Piece, Plan
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
from services.ledger.domain.records import LogState, Scrubbed, SignedHead
from services.ledger.domain.rows import ActionRow, AgentRow, ApprovalRow, PromotionRow, ViolationRow
from services.ledger.domain.witnesses import Answer, WitnessKey


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

        The tree must agree with every head it remembers, and with `heads`.
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


class EventStream(Protocol):
    """The event log as the ledger reads it: messages as published."""

    async def state(self) -> LogState:
        """Raises Unavailable: no answer."""
        ...

    async def message(self, sequence: int) -> Message | None:
        """The message at `sequence`; None when there is none. Raises Unavailable: no answer."""
        ...

    def read(self, after: int, upto: int) -> AsyncGenerator[Sequence[Message], None]:
        """Everything behind `after` up to `upto`, in order and without a gap; waits for what is still to come.

        Raises:
            StreamRegression: something is missing that was there or must have been.
            Unavailable: no answer.
        """
        ...


class Mender(Protocol):
    """The event log as whoever repairs it writes it. Everything may raise Unavailable: no answer; repeat."""

    async def fence(self, why: str) -> None:
        """From when this returns nobody else can append, until `lift`, whoever is started again meanwhile."""
        ...

    async def lift(self) -> None:
        """Everybody can append again; harmless when there is no fence."""
        ...

    async def republish(self, messages: Sequence[Message]) -> int:
        """Put back messages that follow the log's end, as they were published; how many were.

        Fewer than all when they end within an atomic batch, none when they are but a part of one. What is put back
        before it fails stays.

        Raises:
            LedgerDiverged: one was refused, or did not get its sequence.
        """
        ...


class ScrubMemory(Protocol):
    """Where the scrubber is, over restarts. To lose it costs a pass from the beginning."""

    def load(self) -> Scrubbed: ...

    def keep(self, scrubbed: Scrubbed) -> None: ...


class Signer(Protocol):
    """Holds the key and the last head it signed, and trusts nobody about the tree."""

    @property
    def key(self) -> VerifierKey:
        """The newest key that signs."""
        ...

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """Every key that signs, oldest first: two while keys are changed."""
        ...

    @property
    def key_history(self) -> str:
        """Every key there ever was, as `domain.keyring` writes it."""
        ...

    @property
    def last(self) -> SignedHead | None:
        """The last head it signed. Raises LedgerDiverged: what it remembers is no head of its own."""
        ...

    async def sign(
        self, checkpoint: Checkpoint, after: int, path: Sequence[bytes], at: datetime
    ) -> SignedHead:
        """Sign `checkpoint`; `path` proves that its tree begins with that of the last head, which has `after` leaves.

        The new head is remembered before it is answered.

        Raises:
            LedgerDiverged: it is smaller than the last head, or not proved to contain it.
            WriterFenced: the last head is another one by now: prove it anew.
            Unavailable: it could not be remembered; nothing was signed.
        """
        ...

    async def adopt(self, head: SignedHead) -> None:
        """Take a head it signed earlier for the last one; for a signer that has lost its own memory and has none.

        Raises:
            MalformedNote: this key has not signed it.
        """
        ...

    async def sign_export(self, plan: Plan, head: SignedHead, sums: bytes) -> str:
        """The signed manifest of an export of `head`, whose files have proved to be those of its tree.

        `sums` is the SHA-256 of its SHA256SUMS. Nothing else of it is anyone's to choose.

        Raises:
            MalformedNote: this key has not signed that head, or it is another one than the plan's.
        """
        ...

    def opens(self, note: str) -> Checkpoint:
        """The checkpoint of a note that a key of this log has signed, and could when it signed trees of that size.

        Raises:
            MalformedNote: it has not.
        """
        ...


class Exporter(Protocol):
    """Makes the files of an export where that keeps nobody from being answered."""

    def files(
        self, plan: Plan, messages: AsyncGenerator[Sequence[Message], None]
    ) -> AsyncGenerator[Piece | Filed, None]:
        """Every file but checkpoint and manifest, in pieces that may alternate, and then `Filed`, once.

        The same messages give the same bytes. Reads no further ahead than it is read.

        Raises:
            Refused: Parquet is asked for, and cannot be written here.
            LedgerDiverged: the messages are not those of the plan.
            Unavailable: it cannot be done now.
        """
        ...


class Witness(Protocol):
    """Somebody else, with a key of their own, who signs heads that grew out of the last one they signed."""

    @property
    def key(self) -> WitnessKey: ...

    async def ask(self, old: int, path: Sequence[bytes], note: str) -> Answer:
        """Ask for a signature on the head in `note`; `path` proves that it grew out of the head over `old` events.

        What is answered is not verified. Safe to repeat, and to give up.

        Raises:
            Unavailable: it does not answer, answers nothing that can be understood, or does not know this log.
        """
        ...


class CosignedMemory(Protocol):
    """The newest head with what witnesses have signed of it, over restarts. To lose it costs asking again."""

    async def keep(self, note: str) -> None:
        """Keep it if that can be done."""
        ...

    async def recall(self) -> str:
        """What was kept last. Raises Unavailable: nothing was, or it cannot be read."""
        ...
