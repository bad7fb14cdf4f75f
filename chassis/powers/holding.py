"""The side of who holds power: it is taken away first, and said afterwards."""

import asyncio
import hashlib
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from nats.aio.subscription import Subscription

from chassis.config import ServiceSettings
from chassis.eventlog.headers import is_event
from chassis.eventlog.wire import Connection, NotConnected
from chassis.powers import words
from chassis.powers.announcing import announce, log_of
from chassis.powers.words import Here, Word
from chassis.process import now
from chassis.signing import SigningKey
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Fault, Unavailable
from kernel.ports import Following

Take = Callable[[str, str], Awaitable[int]]
"""Takes all power of an agent (tenant, agent_id) away from one surface. Returns how much there was, as locks, once
nothing can be done with any of it; safe to repeat."""

REVOKED = ".AgentRevoked"
HERE_SECONDS = 1.0
SPEAK_WITHIN_SECONDS = 60.0
"""What was revoked longer ago is history, read again at a start: nobody waits for a word about it."""
REMEMBERED = 1000
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 5.0
_log = get_logger("chassis.powers")


class Powers:
    """What one process holds of agents' power, surface by surface. Fed with events by `take`, as other readers are."""

    def __init__(
        self,
        connection: Connection,
        settings: ServiceSettings,
        service: str,
        takes: Mapping[str, Take],
        following: Following,
    ) -> None:
        self._connection = connection
        self._service = service
        self._takes = dict(takes)
        self._following = following
        self._key = SigningKey.load_or_create(settings.within_home(Path(f"keys/{service}.pem")))
        # The same after a restart: whoever comes back speaks for who was there before.
        place = f"{socket.gethostname()}:{settings.port(service)}"
        self.replica = hashlib.sha256(place.encode()).hexdigest()[:8]
        self._waiting: list[Recorded] | None = []
        self._said: OrderedDict[tuple[str, str], list[bytes]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: list[Subscription] = []

    async def take(self, events: Sequence[Recorded]) -> None:
        """Heed the revocations among `events`; call it when they have been folded into everything else."""
        for recorded in events:
            if recorded.subject.endswith(REVOKED) and is_event(recorded):
                if self._waiting is not None:
                    self._waiting.append(recorded)
                else:
                    self._heed(recorded)

    async def start(self) -> None:
        """Take away what revocations up to now have left, and be there from now on; call it when all is followed."""
        for subject, sink in ((words.AGAIN, self._again), (words.NOW, self._hurry)):
            self._listening.append(await self._connection.listen(f"{subject}.*.*", sink))
        waiting, self._waiting = self._waiting or [], None
        for recorded in waiting:
            self._heed(recorded)
        self._run(self._announce())
        self._run(self._be_here())

    async def stop(self) -> None:
        """Say goodbye: who has gone is not waited for."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listening, self._listening = self._listening, []
        for each in listening:
            await self._connection.unlisten(each)
        if listening:
            self._say_here(())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _heed(self, recorded: Recorded) -> None:
        # Whom it is about is said by its subject: a revocation that cannot be read revokes all the same.
        stream, at = recorded.stream, recorded.time
        for surface, take in self._takes.items():
            self._run(self._lose(stream.tenant, stream.id, recorded.sequence, at, surface, take))

    async def _lose(
        self, tenant: str, agent_id: str, sequence: int, at: datetime | None, surface: str, take: Take
    ) -> None:
        """Take the power away, however often it takes; only then say that it is gone."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                ended = await take(tenant, agent_id)
                break
            except Exception:  # noqa: BLE001 - whatever it is, power must not stay, and nothing may be said
                if pause == _FIRST_PAUSE_SECONDS:
                    _log.warning("power not taken away yet", agent=agent_id, surface=surface, exc_info=True)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        gone = now()
        if at is None or (gone - at).total_seconds() > SPEAK_WITHIN_SECONDS:
            return
        powerless_ms = max(0, round((gone - at).total_seconds() * 1e6)) / 1000
        word = Word(tenant, agent_id, sequence, surface, self._service, self.replica, powerless_ms, ended)
        self._speak(tenant, agent_id, words.said(self._key, word, gone.timestamp()).encode())

    def _speak(self, tenant: str, agent_id: str, token: bytes) -> None:
        self._said.setdefault((tenant, agent_id), []).append(token)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        self._write(f"{words.LOST}.{tenant}.{agent_id}", token)

    def _again(self, subject: bytes, _reply: bytes, _payload: bytes, _header: bytes | None) -> None:
        tenant, agent_id = subject.decode().split(".")[2:4]
        for token in self._said.get((tenant, agent_id), ()):
            self._write(f"{words.LOST}.{tenant}.{agent_id}", token)

    def _hurry(self, _subject: bytes, _reply: bytes, payload: bytes, _header: bytes | None) -> None:
        if payload.isdigit() and len(payload) < 20:
            self._run(self._reach(int(payload)))

    async def _reach(self, sequence: int) -> None:
        with suppress(Unavailable):  # it comes when it comes
            await self._following.reached(sequence, HERE_SECONDS)

    async def _announce(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await announce(log_of(self._connection, self._service), self._service, self._key, now())
                return
            except Fault as problem:
                _log.warning("signing key not announced yet", why=problem.text, reason=problem.reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _be_here(self) -> None:
        while True:
            self._say_here(tuple(self._takes))
            await asyncio.sleep(HERE_SECONDS)

    def _say_here(self, surfaces: Sequence[str]) -> None:
        here = Here(self._service, self.replica, tuple(surfaces), int(now().timestamp() * 1e6))
        token = words.said_here(self._key, here)
        self._write(f"{words.HERE}.{self._service}.{self.replica}", token.encode())

    def _write(self, subject: str, payload: bytes) -> None:
        try:
            self._connection.write(subject, b"", b"", payload)
        except NotConnected:
            return  # who waits will ask again, or name this process as silent
