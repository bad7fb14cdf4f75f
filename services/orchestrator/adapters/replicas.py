"""Replicas of the orchestrator tell each other who is attached and who carries what, over NATS; nothing is kept."""

import asyncio
import hashlib
import json
import socket
from collections.abc import Callable

from nats.aio.subscription import Subscription

from chassis import process
from chassis.eventlog.stream import stream_state
from chassis.eventlog.wire import Connection, NotConnected
from chassis.telemetry import get_logger
from kernel.ports import Following
from services.orchestrator.handlers.sharing import SAY_SECONDS, Key, Said, Sharing

HERE, GIVE, WHO = "orc.here", "orc.give", "orc.who"
_ANSWER_SECONDS = 0.2
_log = get_logger("orchestrator.replicas")


class NatsReplicas:
    """Implements `Tells`. Others are heard from `start` on; `share` is called twice a second, and when one asks."""

    def __init__(self, connection: Connection, port: int) -> None:
        self._connection = connection
        # Another process is another replica, also in the same place: what it carried is not ours yet.
        place = f"{socket.gethostname()}:{port}:{process.new_id()}"
        self.sharing = Sharing(hashlib.sha256(place.encode()).hexdigest()[:8], process.monotonic, self)
        self._listening: list[Subscription] = []
        self._sharing: asyncio.Task[None] | None = None
        self._share: Callable[[], None] = lambda: None
        self._take: Callable[[str, str], None] = lambda _tenant, _run_id: None

    async def start(self) -> None:
        """Hear who is there; returns when they have had time to say so."""
        me = self.sharing.me
        for subject, sink in ((f"{HERE}.*", self._heard), (f"{GIVE}.{me}", self._given), (WHO, self._asked)):
            self._listening.append(await self._connection.listen(subject, sink))
        self._write(WHO, b"")
        await asyncio.sleep(_ANSWER_SECONDS)

    def serve(self, share: Callable[[], None], take: Callable[[str, str], None]) -> None:
        """From now on say what we carry (`share`), and carry what we are given (`take`)."""
        self._share, self._take = share, take
        self._sharing = asyncio.create_task(self._keep(), name="replicas")

    async def known(self, following: Following) -> None:
        """Wait until what is in the log now, whoever wrote it, has come here. Raises Unavailable."""
        await following.reached((await stream_state(self._connection)).last)

    async def stop(self) -> None:
        """Say goodbye: what was carried here is for others now."""
        if self._sharing is not None:
            self._sharing.cancel()
            await asyncio.wait({self._sharing})
        for each in self._listening:
            await self._connection.unlisten(each)
        self.say(None)

    def say(self, said: Said | None) -> None:
        body: object = None
        if said is not None:
            body = [sorted(said.seats), sorted(said.crews), sorted(said.runs), said.room]
        self._write(f"{HERE}.{self.sharing.me}", json.dumps(body).encode())

    def give(self, replica: str, run: Key) -> None:
        self._write(f"{GIVE}.{replica}", json.dumps(run).encode())

    async def _keep(self) -> None:
        while True:
            try:
                self._share()
            except Exception:  # noqa: BLE001 - whatever it was, runs of others must be seen to the next time
                _log.error("runs are not shared", exc_info=True)
            await asyncio.sleep(SAY_SECONDS)

    def _write(self, subject: str, payload: bytes) -> None:
        try:
            self._connection.write(subject, b"", b"", payload)
        except NotConnected:
            return  # it is said again soon

    def _heard(self, subject: bytes, _reply: bytes, payload: bytes, _header: bytes | None) -> None:
        try:
            body = json.loads(payload)
            said = None
            if body is not None:
                seats, crews, runs, room = body
                said = Said(_keys(seats), frozenset(map(str, crews)), _keys(runs), int(room))
        except (ValueError, TypeError, RecursionError):
            return  # nobody of ours says such a thing
        self.sharing.heard(subject.decode().rpartition(".")[2], said)

    def _given(self, _subject: bytes, _reply: bytes, payload: bytes, _header: bytes | None) -> None:
        try:
            tenant, run_id = map(str, json.loads(payload))
        except (ValueError, TypeError, RecursionError):
            return
        self._take(tenant, run_id)

    def _asked(self, _subject: bytes, _reply: bytes, _payload: bytes, _header: bytes | None) -> None:
        if self._sharing is not None:
            self._share()


def _keys(pairs: list[list[str]]) -> frozenset[Key]:
    return frozenset((str(tenant), str(name)) for tenant, name in pairs)
