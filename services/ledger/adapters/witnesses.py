"""Witnesses over HTTP (C2SP tlog-witness), what they have signed in a file, and how it stands with them in metrics.

The client is the standard library's, on a thread for each witness: one request a second, to somebody who may be slow,
dead or hostile.
"""

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import Gauge

from chassis import files, telemetry
from kernel.faults import Unavailable
from services.ledger.adapters.keyring import verify
from services.ledger.domain.checkpoint import MalformedNote
from services.ledger.domain.witnesses import (
    Answer,
    Cosigned,
    Elsewhere,
    Inconsistent,
    Standing,
    WitnessKey,
    parse_witness_key,
    parse_witnesses,
)
from services.ledger.handlers.witnessing import Witnessing
from services.ledger.ports.book import Book
from services.ledger.ports.signing import Signer

SOCKET_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")

BEHIND = Gauge("provost_ledger_witness_behind_events", "Events it has not signed yet.", ("witness",))
ANSWERS = Gauge(
    "provost_ledger_witness_answers", "1 when it answered the last time it was asked.", ("witness",)
)
REFUSES = Gauge(
    "provost_ledger_witness_refuses", "1 when it has seen another history of the log.", ("witness",)
)
_log = telemetry.get_logger("ledger.witnesses")


class HttpWitness:
    """Implements `ports.Witness`: the one at `url`, with the key `vkey`, or with the one in the file behind an `@`.

    Raises:
        MalformedNote, OSError: that is no key of a witness, or the file cannot be read.
    """

    def __init__(self, url: str, vkey: str) -> None:
        text = Path(vkey[1:]).read_text(encoding="utf-8") if vkey.startswith("@") else vkey
        self._key = parse_witness_key(text)
        parts = urlsplit(url)
        self._https = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/") + "/add-checkpoint"
        self._thread = ThreadPoolExecutor(1, "witness")
        self._connection: HTTPConnection | None = None

    @property
    def key(self) -> WitnessKey:
        return self._key

    async def ask(self, old: int, path: Sequence[bytes], note: str) -> Answer:
        lines = [f"old {old}", *(base64.b64encode(each).decode() for each in path), "", note]
        asked = asyncio.get_running_loop().run_in_executor(
            self._thread, self._post, "\n".join(lines).encode()
        )
        # Looked at, if nobody waits.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            status, kind, body = await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._hang_up()  # the thread sees an end, and is free for the next question
            raise
        except (OSError, HTTPException, ValueError) as problem:
            raise Unavailable("PEER_UNREACHABLE", f"it does not answer: {problem!r}") from None
        return read_answer(status, kind, body)

    def _post(self, body: bytes) -> tuple[int, str, bytes]:
        for last in (False, True):
            fresh = self._connection is None
            try:
                response = self._send(body)
                answer = response.read(MAX_ANSWER_BYTES + 1)
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ValueError("its answer is too long")
                if response.will_close:
                    self._close()
                return response.status, response.headers.get_content_type(), answer
            except (OSError, HTTPException, ValueError) as problem:
                self._close()
                # A connection that was kept may have been closed meanwhile: once more on a new one.
                if fresh or last or isinstance(problem, ValueError | TimeoutError):
                    raise
        raise AssertionError("the second time either answers or raises")

    def _send(self, body: bytes) -> HTTPResponse:
        if self._connection is None:
            self._connection = (
                HTTPSConnection(
                    self._host, self._port, timeout=SOCKET_SECONDS, context=ssl.create_default_context()
                )
                if self._https
                else HTTPConnection(self._host, self._port, timeout=SOCKET_SECONDS)
            )
        headers = {"content-type": "text/plain; charset=utf-8", "user-agent": "provost-ledger"}
        self._connection.request("POST", self._path, body, headers)
        return self._connection.getresponse()

    def _hang_up(self) -> None:
        connection = self._connection
        link = None if connection is None else connection.sock
        if link is not None:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class CosignedFile:
    """Implements `ports.CosignedMemory`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = asyncio.Lock()

    async def keep(self, note: str) -> None:
        try:
            async with self._writing:
                await asyncio.to_thread(files.replace, self._path, note.encode())
        except OSError as problem:
            _log.warning("cosignatures not kept", why=str(problem))

    async def recall(self) -> str:
        try:
            return await asyncio.to_thread(self._path.read_text, "utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise Unavailable("STORE_UNREACHABLE", f"{self._path} cannot be read: {problem}") from None


def watched_by(setting: str, folder: Path, book: Book, signer: Signer) -> Witnessing:
    """The witnesses that a setting names; what they sign is kept in `folder`, and the log's keys for them to trust.

    Raises:
        ValueError: one of them cannot be read; says which.
    """
    publish_keys(folder, [each.text for each in signer.keys])
    try:
        witnesses = [HttpWitness(url, vkey) for url, vkey in parse_witnesses(setting)]
    except (MalformedNote, OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"PROVOST_LEDGER_WITNESSES: {problem}") from None
    return Witnessing(book, signer, witnesses, CosignedFile(folder / "cosigned"), verify, Teller())


def publish_keys(folder: Path, vkeys: Sequence[str]) -> None:
    """Put the log's keys where its witnesses may be told to look."""
    files.private_directory(folder)
    files.replace(folder / "vkeys", "".join(f"{each}\n" for each in vkeys).encode())


class Teller:
    """Says once what changes, and shows how it stands."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def __call__(self, standing: Standing, behind_events: int) -> None:
        """`behind_events` are those it has not signed yet."""
        BEHIND.labels(standing.name).set(behind_events)
        ANSWERS.labels(standing.name).set(0 if standing.trouble else 1)
        REFUSES.labels(standing.name).set(1 if standing.refused else 0)
        now = standing.refused, standing.trouble
        before = self._told.get(standing.name, ("", ""))
        self._told[standing.name] = now
        if standing.refused and now[0] != before[0]:
            _log.critical(
                "witness refuses", reason="WITNESS_REFUSED", witness=standing.name, why=standing.refused
            )
        elif standing.trouble and now[1] != before[1]:
            _log.warning("witness cannot be asked", witness=standing.name, why=standing.trouble)
        elif not any(now) and any(before):
            _log.info("witness signs again", witness=standing.name, size=standing.size)


def read_answer(status: int, kind: str, body: bytes) -> Answer:
    """What an answer of a witness means. Raises Unavailable: nothing that would help."""
    match status:
        case 200:
            try:
                return Cosigned(body.decode())
            except UnicodeDecodeError:
                raise Unavailable("PEER_UNREACHABLE", "its answer is not text") from None
        case 409 if kind == "text/x.tlog.size" and (size := _SIZE.fullmatch(body)):
            return Elsewhere(int(size[1]))
        case 422:
            return Inconsistent()
        case 403:
            raise Unavailable("PEER_UNREACHABLE", "it does not trust the key of this log (403)")
        case 404:
            raise Unavailable("PEER_UNREACHABLE", "it does not watch this log (404)")
        case _:
            raise Unavailable("PEER_UNREACHABLE", f"it answers with status {status}")
