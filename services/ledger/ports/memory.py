"""What is remembered over restarts, and costs only work when it is lost."""

from typing import Protocol

from services.ledger.domain.records import Scrubbed


class ScrubMemory(Protocol):
    """Where the scrubber is, over restarts. To lose it costs a pass from the beginning."""

    def load(self) -> Scrubbed: ...

    def keep(self, scrubbed: Scrubbed) -> None: ...


class CosignedMemory(Protocol):
    """The newest head with what witnesses have signed of it, over restarts. To lose it costs asking again."""

    async def keep(self, note: str) -> None:
        """Keep it if that can be done."""
        ...

    async def recall(self) -> str:
        """What was kept last. Raises Unavailable: nothing was, or it cannot be read."""
        ...
