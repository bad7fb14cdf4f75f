"""How a process comes to its connection to NATS, and keeps it."""

import asyncio
import ssl
from urllib.parse import urlsplit

import structlog

from chassis.eventlog.wire import Connection
from chassis.process import monotonic
from kernel.faults import Unavailable

_log = structlog.get_logger("chassis.eventlog")
_RETRY_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


async def connect(
    url: str,
    *,
    name: str,
    user: str | None = None,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    inbox_prefix: str = "_INBOX",
    timeout_seconds: float = 30.0,
) -> Connection:
    """A connection that comes back by itself, for ever; `url` may name several servers, separated by commas.

    With `tls`, nothing is ever said to a server that does not speak TLS.

    Raises:
        Unavailable: no server within `timeout_seconds`, or it refused the credentials (`LOG_UNREACHABLE`).
    """
    urls = [each.strip() for each in url.split(",")]
    until = monotonic() + timeout_seconds
    await _answering(urls, until)
    connection = Connection(require_tls=tls is not None)
    problems: list[str] = []

    async def failed(problem: Exception) -> None:
        # Refused credentials and forbidden subjects are told here and nowhere else.
        text = str(problem) or type(problem).__name__
        if problems[-1:] != [text]:
            problems[:] = [text]
            _log.warning("nats connection", problem=text, name=name)
        if "authorization" in text.lower() and not connection.connected.is_set():
            connecting.cancel()

    async def closed() -> None:
        if not connecting.cancelled():
            _log.info("nats connection closed", name=name)

    async def lost() -> None:
        connection.lose_answers()

    async def found() -> None:
        problems.clear()
        connection.connected.set()

    connecting = asyncio.ensure_future(
        connection.connect(
            urls,
            name=name,
            user=user,
            password=password,
            tls=tls,
            inbox_prefix=inbox_prefix,
            error_cb=failed,
            disconnected_cb=lost,
            reconnected_cb=found,
            closed_cb=closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # seconds, slept as they are
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
        )
    )
    done, _ = await asyncio.wait({connecting}, timeout=max(0.1, until - monotonic()))
    if not done or connecting.cancelled() or connecting.exception() is not None:
        connecting.cancel()
        why = problems[-1] if problems else "no answer"
        await connection.close()
        raise Unavailable("LOG_UNREACHABLE", f"could not connect to NATS at {_shown(urls)}: {why}")
    connection.connected.set()
    return connection


async def _answering(urls: list[str], until: float) -> None:
    """Wait until one of the ports accepts: nats-py sleeps for seconds after a refusal."""
    pause = 0.02
    while True:
        for url in urls:
            parts = urlsplit(url)
            try:
                _, writer = await asyncio.wait_for(
                    asyncio.open_connection(parts.hostname, parts.port or 4222), _LONGEST_PAUSE_SECONDS
                )
            except (OSError, TimeoutError):
                continue
            writer.close()
            return
        if monotonic() + pause > until:
            raise Unavailable("LOG_UNREACHABLE", f"nothing listens at {_shown(urls)}: is NATS running?")
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)


def _shown(urls: list[str]) -> str:
    """The addresses without the credentials that may stand in them."""
    return ", ".join(f"{urlsplit(url).hostname}:{urlsplit(url).port or 4222}" for url in urls)
