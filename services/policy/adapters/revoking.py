"""Policy's two parts in a revocation, on NATS: it loses power as others do, and it hears what all of them say."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from chassis.config import ServiceSettings
from chassis.eventlog.headers import is_event
from chassis.eventlog.wire import Connection
from chassis.powers import Hearing, Powers
from chassis.process import jitter, now
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.ports import Following
from services.policy.domain.revocation import PowerLost
from services.policy.handlers.unconfirmed import Unconfirmed
from services.policy.ports.powers import Heard

LOOK_SECONDS = 1.0
FALLEN_SECONDS = 0.25
_log = get_logger("policy.revoking")


class Revoking:
    """Implements `ports.Words`. Fed with events by `take`, after everything that folds them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hearing = Hearing(connection)
        self._powers: Powers | None = None
        self._unconfirmed: Unconfirmed | None = None
        self._settling: tuple[asyncio.Task[None], ...] = ()

    def serve(
        self,
        settings: ServiceSettings,
        surfaces: Mapping[str, Callable[[str, str], Awaitable[int]]],
        unconfirmed: Unconfirmed,
        following: Following,
    ) -> None:
        """Before anything is followed: say what this process holds, and who is to be told of revocations."""
        self._powers = Powers(self._connection, settings, "policy", surfaces, following)
        self._unconfirmed = unconfirmed

    async def collect(
        self, tenant: str, agent_id: str, sequence: int, wait_seconds: float, *, again: bool = False
    ) -> Heard:
        heard = await self._hearing.collect(tenant, agent_id, sequence, wait_seconds, again=again)
        lost = (
            PowerLost(each.surface, each.service, each.replica, each.powerless_ms, each.ended, each.token)
            for each in heard.words
        )
        return Heard(tuple(lost), heard.silent)

    async def take(self, events: Sequence[Recorded]) -> None:
        assert self._powers is not None, "serve before anything is followed"
        await self._hearing.take(events)
        await self._powers.take(events)
        for recorded in filter(is_event, events):
            self._tell(recorded)

    async def start(self) -> None:
        """Once all is followed."""
        assert self._powers is not None, "serve before anything is followed"
        await self._hearing.start()
        await self._powers.start()
        assert self._unconfirmed is not None, "serve before anything is followed"
        # A receipt may take seconds, and no child keeps its power elsewhere for so long.
        self._settling = (
            asyncio.create_task(
                _keep(self._unconfirmed.settle, LOOK_SECONDS), name="unconfirmed revocations"
            ),
            asyncio.create_task(
                _keep(self._unconfirmed.revoke_fallen, FALLEN_SECONDS), name="fallen children"
            ),
        )

    async def stop(self) -> None:
        for task in self._settling:
            task.cancel()
        if self._settling:
            await asyncio.wait(self._settling)
        if self._powers is not None:
            await self._powers.stop()
        await self._hearing.stop()

    def _tell(self, recorded: Recorded) -> None:
        """Whom it is about is said by its subject, also when it cannot be read."""
        assert self._unconfirmed is not None, "serve before anything is followed"
        stream = recorded.stream
        if (stream.context, stream.aggregate) != ("policy", "agent"):
            return
        match recorded.event_type:
            case "AgentRevoked":
                at = recorded.time or now()  # what does not say is taken for new
                self._unconfirmed.revoked(stream.tenant, stream.id, recorded.sequence, at)
            case "RevocationConfirmed":
                self._unconfirmed.confirmed(stream.tenant, stream.id)
            case _:
                return


async def _keep(settle: Callable[[], Awaitable[int]], seconds: float) -> None:
    """See to what others have left undone, again and again; any replica may."""
    while True:
        await asyncio.sleep(seconds + jitter(seconds))
        try:
            await settle()
        except Exception:  # noqa: BLE001 - whatever it was, the next revocation has to be seen to all the same
            _log.error("revocations not seen to", exc_info=True)
