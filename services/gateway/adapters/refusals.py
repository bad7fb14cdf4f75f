"""Who was turned away, into the event log: a few appends a second at most, however many there are.

A 401 does not wait for the log, or a flood would. So those of the last 0.3 s, and of as long as the log takes nothing,
are lost when this process is killed; when it is stopped, none is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from prometheus_client import Counter

from chassis import process, telemetry
from kernel.events import Cause, Head, Stream
from kernel.faults import Fault
from kernel.ports import EventLog
from services.gateway.domain.callers import Keyring
from services.gateway.domain.refusals import ACCESS, Access, RecordRefusals, Refusal, merge

FLUSH_SECONDS = 0.3
MAX_KINDS = 500
LAST_FLUSH_SECONDS = 5.0
REFUSED = Counter(
    "provost_access_refused", "Requests turned away at the door, by reason and tenant.", ("reason", "tenant")
)

_log = telemetry.get_logger("gateway.refusals")
_SHOWN = Keyring(()).shown
Kind = tuple[str, str, str, str]


class RefusalLog:
    """Implements `ports.Refusals`. Start it, and stop it last: what is noted until then is written.

    `replica` names the aggregate, and must be this process's alone: nobody else appends to it. `shown` says what the
    tenant of an actor is called in metrics.
    """

    def __init__(self, log: EventLog, replica: str, shown: Callable[[str, str], str] = _SHOWN) -> None:
        self._log = log
        self._shown = shown
        self._replica = replica
        self._noted: dict[str, dict[Kind, Refusal]] = {}
        self._frozen: tuple[str, tuple[Refusal, ...]] | None = None
        self._heads: dict[str, Head] = {}
        self._some = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._flushing = asyncio.create_task(self._flush_for_ever(), name="refusals")

    async def stop(self) -> None:
        """Write what is left; said loudly if the log does not take it."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        try:
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await self.flush()
        except (Fault, TimeoutError) as error:
            noted = [each for kinds in self._noted.values() for each in kinds.values()]
            left = sum(each.count for each in (*noted, *(self._frozen[1] if self._frozen else ())))
            _log.error("refusals could not be recorded", lost=left, why=str(error))

    def note(self, tenant: str, reason: str, actor: str, method: str, peer: str) -> None:
        now = process.now()
        noted = self._noted.setdefault(tenant, {})
        new = Refusal(reason, actor, method, peer, 1, now, now)
        if new.kind not in noted and len(noted) >= MAX_KINDS:
            new = replace(new, peer="many")  # counted all the same
        kept = noted.get(new.kind)
        noted[new.kind] = new if kept is None else merge(kept, new)
        REFUSED.labels(reason, self._shown(tenant, actor)).inc()
        self._some.set()

    async def flush(self) -> None:
        """Append what has been noted.

        Raises:
            Fault: the log did not take it; it is kept, and tried again.
        """
        while self._frozen or self._noted:
            if not self._frozen:
                tenant, noted = self._noted.popitem()
                self._frozen = (tenant, tuple(noted.values()))
            await self._append(*self._frozen)
            self._frozen = None

    async def _append(self, tenant: str, refusals: tuple[Refusal, ...]) -> None:
        head = self._heads.get(tenant, Head())
        event = ACCESS.decide(Access(), RecordRefusals(refusals))
        assert event is not None
        # Same place, same id, same content: when an answer was lost, trying again finds out whether it was written.
        cause = Cause(tenant, f"{self._replica}-{head.version}", "service:gateway", process.now())
        stream = Stream(tenant, ACCESS.context, ACCESS.aggregate, self._replica)
        appended = await self._log.append(stream, [event], after=head, cause=cause)
        self._heads[tenant] = Head(appended.sequence, head.version + 1)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._some.clear()
            try:
                await self.flush()
            except Fault as fault:
                _log.warning("refusals wait to be recorded", why=fault.reason)
                self._some.set()
