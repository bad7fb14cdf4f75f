"""The public form of the log: each event once as JSON into the stream `PUBLIC`, by however many ledgers run.

Where it stands is written in the stream itself: each message bears the sequence of the event it tells, and is taken
only behind the one it was meant to follow (`Nats-Expected-Last-Sequence`). Whoever loses that race stands by, and takes
over when no more comes. Nothing is lost and nothing told twice, whoever is killed when. An empty stream is one that has
forgotten everything by age, or was never there: then it is begun with the events that it would still hold.
"""

import asyncio
import base64
import json
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any

from chassis import process, telemetry
from chassis.eventlog.api import call, check_answer, found_or_made, message_of, unreachable
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import Headers, block
from chassis.eventlog.jetstream import CONFLICTS
from chassis.eventlog.stream import EVENTS, stream_state
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from kernel.events import Recorded
from kernel.faults import Fault
from services.ledger.wire.cloudevents import MEDIA_TYPE, cloudevent, public_subject

PUBLIC, SUBJECTS = "PUBLIC", "pub.>"
KEPT = timedelta(days=7)
MAX_BYTES = 1024**3
AT_ONCE = 16
"""So many are on their way at once: making JSON of more would keep the ledger from everything else for too long."""
STAND_BY_SECONDS = 2.0
SEQUENCE = "Provost-Sequence"
"""The header that says which event of the log a message tells."""
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_CONFIG = {
    "name": PUBLIC,
    "subjects": [SUBJECTS],
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "max_age": int(KEPT.total_seconds()) * 10**9,
    "max_bytes": MAX_BYTES,
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
}
_log = telemetry.get_logger("ledger.public")


class Beaten(Exception):
    """Somebody else has published what came next."""


class Publisher:
    """Publishes while it is started, if it is `on`."""

    def __init__(self, connection: Connection, *, on: bool) -> None:
        self._connection = connection
        self._on = on
        self._last = 0
        self._over: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._on:
            self._running = asyncio.create_task(self._run(), name="public events")

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        while True:
            try:
                await self._lead()
            except Beaten:
                await self._stand_by()
            except Exception as problem:  # noqa: BLE001 - ending unseen, it would look like a quiet log
                known = isinstance(problem, (Fault, NotConnected, AnswerLost))
                why = str(problem) or type(problem).__name__
                _log.warning("public events wait", why=why, exc_info=not known)
                await asyncio.sleep(_PAUSE_SECONDS + process.jitter(_PAUSE_SECONDS))

    async def _lead(self) -> None:
        await self._ensure_stream()
        after, self._last = await self._where()
        self._over = asyncio.get_running_loop().create_future()
        follower = Follower(
            self._connection, ("evt.>",), after, self._deliver, "public events", gather_seconds=0.05
        )
        await follower.start()
        try:
            await self._over
        finally:
            await follower.stop()

    async def _deliver(self, events: Sequence[Recorded]) -> None:
        assert self._over is not None
        try:
            for some in _parts(events):
                await self._publish(some)
        except Exception as problem:  # noqa: BLE001 - it is for whoever leads
            if not self._over.done():
                self._over.set_exception(problem)
            await asyncio.Event().wait()  # whoever leads begins anew, where the stream says

    async def _publish(self, events: Sequence[Recorded]) -> None:
        """All of them, in order: what is not taken keeps those behind it from being taken."""
        asked = [self._ask(event, self._last + n) for n, event in enumerate(events)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if answer["seq"] != self._last + 1:
                raise Beaten
            self._last = answer["seq"]

    def _ask(self, event: Recorded, last: int) -> Coroutine[Any, Any, dict[str, Any]]:
        lines = f"content-type: {MEDIA_TYPE}\r\n{SEQUENCE}: {event.sequence}\r\n"
        lines += f"Nats-Expected-Stream: {PUBLIC}\r\nNats-Expected-Last-Sequence: {last}\r\n"
        text = cloudevent(event.sequence, event.subject, event.headers, event.payload)
        return self._answered(public_subject(event.subject), block(lines), text)

    async def _answered(self, subject: str, header: bytes, text: bytes) -> dict[str, Any]:
        status, payload = await self._connection.ask(
            subject, text, header=header, timeout_seconds=_ANSWER_SECONDS
        )
        if status:
            raise unreachable(f"nobody takes {SUBJECTS}")
        answer: dict[str, Any] = json.loads(payload)
        error = answer.get("error")
        if error is None:
            return answer
        if error["err_code"] in CONFLICTS:
            raise Beaten
        raise unreachable(error["description"])

    async def _stand_by(self) -> None:
        """Until whoever publishes has not for a while, though there is something to publish."""
        _log.info("public events are published by another ledger")
        seen = -1
        while True:
            await asyncio.sleep(STAND_BY_SECONDS + process.jitter(STAND_BY_SECONDS / 2))
            try:
                after, last = await self._where()
                behind = (await stream_state(self._connection)).last > after
            except Fault as problem:
                _log.info("public events cannot be looked at", why=problem.text)
                continue
            if behind and last == seen:
                return
            seen = last if behind else -1

    async def _where(self) -> tuple[int, int]:
        """The sequence of the event that was published last, and its message's own."""
        while True:
            info = await call(self._connection, f"STREAM.INFO.{PUBLIC}")
            check_answer(info)
            last = info["state"]["last_seq"]
            if not info["state"]["messages"]:
                return await self._before(process.now() - KEPT), last
            found = message_of(await call(self._connection, f"STREAM.MSG.GET.{PUBLIC}", {"seq": last}))
            if found is not None:
                return int(Headers(base64.b64decode(found.get("hdrs", "")))[SEQUENCE]), last

    async def _before(self, at: datetime) -> int:
        """The last event that is older than `at`; 0: none is."""
        state = await stream_state(self._connection)
        low, high = max(0, state.first - 1), state.last  # `low` is older, what is behind `high` is not
        while low < high:
            middle = (low + high + 1) // 2
            found = message_of(await call(self._connection, f"STREAM.MSG.GET.{EVENTS}", {"seq": middle}))
            if found is None or datetime.fromisoformat(found["time"]) < at:
                low = middle
            else:
                high = middle - 1
        return low

    async def _ensure_stream(self) -> None:
        replicas = (await stream_state(self._connection)).replicas
        await found_or_made(self._connection, {**_CONFIG, "num_replicas": replicas})


def _parts(events: Sequence[Recorded]) -> "Sequence[Sequence[Recorded]]":
    return [events[n : n + AT_ONCE] for n in range(0, len(events), AT_ONCE)]
