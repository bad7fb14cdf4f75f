"""Who else holds power of an agent, and says when it is lost."""

from typing import NamedTuple, Protocol

from services.policy.domain.revocation import PowerLost


class Heard(NamedTuple):
    """What was said of lost power, properly signed; and who should have said something, as `state/3f2a:locks`."""

    lost: tuple[PowerLost, ...]
    silent: tuple[str, ...]


class Words(Protocol):
    """What those who held power of a revoked agent say of having lost it."""

    async def collect(
        self, tenant: str, agent_id: str, sequence: int, wait_seconds: float, *, again: bool = False
    ) -> Heard:
        """The words about one revocation, once all who are there have spoken or `wait_seconds` are over.

        With `again`, all are asked to repeat what nobody may have heard. Raises nothing: who is not heard is silent.
        """
        ...
