"""What is asked of the actuators: to look, and to do."""

from collections.abc import Sequence
from typing import Protocol

from kernel.events import Cause
from services.orchestrator.domain.records import Action, Effect


class ActuatorDoor(Protocol):
    async def preview(self, actions: Sequence[Action], cause: Cause) -> tuple[Effect, ...]:
        """Says of each action, in their order, what it would do or why it would be refused; touches nothing."""
        ...

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        """Does it once per effect id.

        Raises:
            Unavailable: nobody answered, or not before the permit ran out: ask for its outcome, then for a new one.
        """
        ...

    async def outcome(
        self, effect_id: str, action: Action, journal_key: bytes, cause: Cause
    ) -> Effect | None:
        """What came of what began under this id, waiting until it ends; None when it has yet to be done."""
        ...

    async def reachable(self) -> bool: ...
