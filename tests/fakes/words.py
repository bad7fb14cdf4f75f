"""Those who lose power, as a test wants them to speak."""

from dataclasses import dataclass, field

from services.policy.domain.revocation import PowerLost
from services.policy.ports.powers import Heard


@dataclass
class GivenWords:
    """Implements `services.policy.ports.Words`: what was given, at once; `asked` is what was waited for."""

    lost: tuple[PowerLost, ...] = ()
    silent: tuple[str, ...] = ()
    fails: Exception | None = None
    asked: list[tuple[str, str, int, float, bool]] = field(default_factory=list)

    async def collect(
        self, tenant: str, agent_id: str, sequence: int, wait_seconds: float, *, again: bool = False
    ) -> Heard:
        self.asked.append((tenant, agent_id, sequence, wait_seconds, again))
        if self.fails is not None:
            raise self.fails
        return Heard(self.lost, self.silent)
