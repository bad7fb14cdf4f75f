"""The keys of subjects on a real nats-server, every stream empty."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from chassis.eventlog.api import call
from chassis.eventlog.subject_keys import KEYS, NatsSubjectKeys
from chassis.eventlog.wire import Connection
from tests.fakes.nats_server import events, nats_server

__all__ = ["events", "nats_server"]

Replica = Callable[[], Awaitable[NatsSubjectKeys]]


@pytest_asyncio.fixture
async def replica(events: Connection, tmp_path: Path) -> AsyncIterator[Replica]:
    """Starts one more process's keys, over one stream and one file."""
    await call(events, f"STREAM.DELETE.{KEYS}")
    started: list[NatsSubjectKeys] = []

    async def start() -> NatsSubjectKeys:
        keys = NatsSubjectKeys(events, tmp_path / "keys" / "subjects.key", f"test {len(started)}")
        started.append(keys)
        await keys.start()
        return keys

    yield start
    for keys in started:
        await keys.stop()
