"""What keeps personal data sealed, and opens it for those who work with it."""

from typing import Protocol, TypeVar

from services.orchestrator.domain.run import Run

T = TypeVar("T")


class Privacy(Protocol):
    """Seals what is personal before anybody else sees it, and opens it for whoever works with it.

    A `key_id` is that of a run's subject; with an empty one everything stays as it is. Each method that takes one
    raises SUBJECT_ERASED (Refused) when the key is gone, and `Unavailable` when the keys cannot be reached.
    """

    async def key_of(self, tenant: str, subject: str) -> str:
        """The id of a subject's key, which is made if there is none."""
        ...

    async def sealed(self, tenant: str, key_id: str, record: T) -> T:
        """A command or a record with everything personal in it sealed, as the contract says what is personal."""
        ...

    async def opened(self, tenant: str, key_id: str, run: Run) -> Run:
        """A run with everything in it that was sealed under its key in the clear: to be worked with, never kept."""
        ...

    async def seal_text(self, tenant: str, key_id: str, text: str) -> str: ...

    async def seal_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes: ...

    async def open_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes: ...

    async def journal_key(self, tenant: str, key_id: str, effect_id: str) -> bytes:
        """What the actuators seal one effect's outcome under in their journal; empty without a key."""
        ...

    def forget(self, tenant: str, key_id: str) -> None:
        """Hold nothing in the clear any more of what was sealed under this key."""
        ...
