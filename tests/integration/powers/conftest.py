"""Those who lose power and those who wait for their words, over a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chassis import process
from chassis.config import ServiceSettings
from chassis.eventlog.codec import Codec
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.powers import Hearing, Powers
from chassis.powers.announcing import ANNOUNCED
from kernel.events import Cause, Head, Recorded, Stream
from provost.policy.v1 import events_pb2
from services.policy.domain.revocation import AgentRevoked
from tests.fakes.nats_server import events, nats_server

__all__ = ["events", "nats_server"]

REVOKED = "evt.*.policy.agent.*.AgentRevoked"
CODEC = Codec({AgentRevoked: events_pb2.AgentRevoked})


@dataclass
class Surface:
    """Power that a test can keep from going away."""

    held: int = 1
    fails: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, tenant: str, agent_id: str) -> int:
        self.asked.set()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not yet")
        await self.free.wait()
        ended, self.held = self.held, 0
        return ended


@dataclass
class World:
    """One who listens, and any number of processes that hold power."""

    connection: Connection
    hearing: Hearing
    follower: Follower
    home: Path
    stack: AsyncExitStack
    sent: int = 0

    async def holder(self, service: str, takes: dict[str, Surface], *, port: int = 7000) -> Powers:
        """A process that follows the log as services do."""
        given: dict[str, Any] = {"home": self.home, "internal_key": SecretStr("k"), f"{service}_port": port}
        settings = ServiceSettings(_env_file=None, **given)

        async def heed(events: Sequence[Recorded]) -> None:
            await powers.take(events)

        follower = Follower(self.connection, (REVOKED,), 0, heed, service)
        wanted = {name: each.take for name, each in takes.items()}
        powers = Powers(self.connection, settings, service, wanted, follower)
        await follower.start()
        await follower.caught_up()
        await powers.start()
        self.stack.push_async_callback(follower.stop)
        self.stack.push_async_callback(powers.stop)
        return powers

    async def revoke(self, agent_id: str, at: datetime | None = None) -> int:
        """The sequence of the revocation."""
        self.sent += 1
        at = at or process.now()
        event = AgentRevoked(agent_id, "operator", "", "key:op", at)
        cause = Cause("default", f"revoke-{self.sent}", "key:op", at)
        log = JetStreamLog(self.connection, CODEC, source="provost/policy")
        appended = await log.append(
            Stream("default", "policy", "agent", agent_id), (event,), after=Head(), cause=cause
        )
        return appended.sequence

    async def known(self, *services: str) -> None:
        """Wait until each of them is there, and its key is known."""
        await until_fact(
            lambda: (
                {service for service, _ in self.hearing._here} >= set(services)
                and {service for service, _ in self.hearing._keys} >= set(services)
            ),
            f"{services} are not all there",
        )


async def until_fact(fact: Callable[[], bool], otherwise: str) -> None:
    from tests.fakes.wait import until

    await until(fact, otherwise)


@pytest.fixture
async def world(events: Connection, tmp_path: Path) -> AsyncIterator[World]:
    hearing = Hearing(events)
    follower = Follower(events, (ANNOUNCED,), 0, hearing.take, "hearing")
    await hearing.start()
    await follower.start()
    await follower.caught_up()
    async with AsyncExitStack() as stack:
        yield World(events, hearing, follower, tmp_path, stack)
    await follower.stop()
    await hearing.stop()


LONG_AGO = timedelta(hours=1)
