"""The process itself: its clock, its ids, its randomness, and how it starts and stops.

The only reader of clocks and maker of ids. Everything else is handed a time or an id, so that it can be
replayed.
"""

import asyncio
import gc
import random
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
import uvloop

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_offset_ns = 0
_id_lock = threading.Lock()
_last_stamp = 0


def set_clock_offset(seconds: float) -> None:
    """Let this process's wall clock be `seconds` ahead of the machine's: how clock jumps are tested."""
    global _offset_ns  # noqa: PLW0603 - one clock per process
    _offset_ns = int(seconds * 1e9)


def now() -> datetime:
    """The time, aware, in UTC."""
    return _EPOCH + timedelta(microseconds=(time.time_ns() + _offset_ns) // 1000)


def monotonic() -> float:
    """Seconds that only ever grow: for durations, deadlines and leases held in memory."""
    return time.monotonic()


def new_id() -> str:
    """32 hex digits, a UUIDv7 (RFC 9562, section 5.7, with 12 bits of sub-millisecond time).

    Sorts by the time it was made, strictly so within one process.
    """
    global _last_stamp  # noqa: PLW0603 - one sequence of ids per process
    with _id_lock:
        milliseconds, rest = divmod(time.time_ns() + _offset_ns, 1_000_000)
        _last_stamp = max((milliseconds << 12) | (rest << 12) // 1_000_000, _last_stamp + 1)
        stamp = _last_stamp
    high = (stamp >> 12 & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | stamp & 0xFFF
    low = 0x8000_0000_0000_0000 | secrets.randbits(62)
    return f"{high:016x}{low:016x}"


def new_secret(n_bytes: int = 32) -> str:
    """`n_bytes` of the system's randomness, URL-safe base64 without padding."""
    return secrets.token_urlsafe(n_bytes)


def jitter(seconds: float) -> float:
    """Somewhere between nothing and `seconds`, evenly: keeps those who retry from doing it in step."""
    return random.uniform(0.0, seconds)  # noqa: S311 - spreads load, guards nothing


class Stopping:
    """Set once the process has been asked to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def ends(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` go on until the process is asked to stop, and end it then. What it raises is raised."""
        working, asked = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                await asked
        finally:
            for each in (working, asked):
                each.cancel()
            await asyncio.wait({working, asked})


def run(
    main: Callable[[Stopping], Awaitable[None]], *, collect: tuple[int, int, int] = (1_000, 20, 50)
) -> None:
    """Run `main` on uvloop until it returns.

    SIGTERM and SIGINT set the `Stopping` it is given; a second one cancels it. An error that nobody handled
    is logged and ends the process with exit code 1. `collect` is when garbage is looked for (`gc`): gRPC leaves some
    ten objects in circles with every call, which are found quickly while they are still in the processor's caches; by
    the ten thousand they stop a service for 0.1 s.
    """
    _collect(collect)
    try:
        uvloop.run(_until_done(main))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(1) from None
    except Exception:  # noqa: BLE001 - the last one there is
        structlog.get_logger("chassis.process").critical("process failed", exc_info=True)
        raise SystemExit(1) from None


def _collect(thresholds: tuple[int, int, int]) -> None:
    """What is imported stays for good and need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)


async def _until_done(main: Callable[[Stopping], Awaitable[None]]) -> None:
    stopping = Stopping()
    task = asyncio.ensure_future(main(stopping))

    def asked() -> None:
        if stopping.is_set():
            task.cancel()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    await task
