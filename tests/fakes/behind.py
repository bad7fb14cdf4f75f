"""A replica that is behind: it hears of nothing more until it waits for what it has not heard of."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from chassis.eventlog.follower import Follower
from kernel.events import Recorded


@contextmanager
def behind(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, `follower` delivers nothing before somebody waits for a sequence that it has not reached."""
    heard, deliver, reached = asyncio.Event(), follower._deliver, follower.reached

    async def late(events: Sequence[Recorded]) -> None:
        await heard.wait()
        await deliver(events)

    async def waits(sequence: int, timeout_seconds: float = 5.0) -> None:
        if sequence > follower.position:
            heard.set()
        await reached(sequence, timeout_seconds)

    monkeypatch.setattr(follower, "_deliver", late)
    monkeypatch.setattr(follower, "reached", waits)
    try:
        yield
    finally:
        heard.set()
