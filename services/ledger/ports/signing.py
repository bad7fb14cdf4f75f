"""Who signs heads: the ledger, with a signer it cannot fool, and somebody else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.ledger.domain.checkpoint import Checkpoint, VerifierKey
from services.ledger.domain.export import Plan
from services.ledger.domain.records import SignedHead
from services.ledger.domain.witnesses import Answer, WitnessKey


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
