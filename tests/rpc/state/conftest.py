"""The state service over the log in memory and a real store, and a channel to it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from chassis import process, store
from chassis.config import ServiceSettings
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from chassis.rpc.guard import Tell
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.state.v1.state_pb2_grpc import StateServiceStub, add_StateServiceServicer_to_server
from services.state.adapters import ArtifactDirectory, LogHistory, RedisStore, SequencingLog, aggregates_over
from services.state.domain.view import View
from services.state.handlers import Kept, State, Turns, Vigil
from services.state.handlers.watching import HEARTBEAT_SECONDS, Watching
from services.state.reactor import HeldSets, Judging, Reactor, Sharing, StoreAudit, StoreMirror, WatchFeed
from services.state.reactor.health import followed, in_step
from services.state.rpc import MAX_MESSAGE_BYTES, StateServicer
from services.state.wire import CODEC, FILTERS
from tests.fakes.named_reasons import every_reason_is_named
from tests.fakes.valkey_server import ValkeyServer, valkey_server
from tests.fakes.wait import until

if TYPE_CHECKING:
    from provost.state.v1.state_pb2_grpc import StateServiceAsyncStub

__all__ = ["every_reason_is_named", "valkey_server"]
KEY = "an internal key for tests"


@dataclass
class Running:
    """One process's worth of state, and how to reach it."""

    stub: "StateServiceAsyncStub"
    log: MemoryLog
    store: Redis
    mirror: StoreMirror
    follower: Follower
    home: Path
    watching: Watching
    server: Server
    turns: Turns
    view: View
    kept: Kept
    sets: HeldSets


def settings() -> ServiceSettings:
    return ServiceSettings(_env_file=None, internal_key=SecretStr(KEY), shutdown_seconds=1.0)


def cause(request_id: str = "", tenant: str = "default", actor: str = "service:orchestrator") -> Cause:
    return Cause(tenant, request_id, actor, process.now(), "run-1")


@contextlib.asynccontextmanager
async def serving(
    log: MemoryLog,
    url: str,
    home: Path,
    *,
    filled: bool = True,
    patience_seconds: float = 30.0,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    tell: Tell | None = None,
) -> AsyncIterator[Running]:
    """A replica of state over `log`, once its store is filled unless told otherwise; several may run at once."""
    sequencing, view, redis = SequencingLog(log), View(), store.connect(url)
    kept, every = aggregates_over(sequencing, CODEC)
    derived = RedisStore(redis)
    mirror = StoreMirror(view, derived, now=process.now, new_mark=process.new_id)
    sets = HeldSets(log, patience_seconds)
    vigil, turns = Vigil(kept, mirror, process, sets.patience_seconds), Turns()
    judging = Judging(vigil, turns, process)
    reactor = Reactor(view, mirror)
    follower = Follower(log, FILTERS, 0, reactor.deliver, "state")
    feed = WatchFeed(view, follower.reached, log.last_sequence, heartbeat_seconds)
    reactor.feeds(feed, *every, Sharing(kept, view), judging)
    reactor.led_by(follower, alone=False)
    audit = StoreAudit(view, derived, mirror, LogHistory(log, FILTERS), follower, process.now)
    contents = ArtifactDirectory(home / "artifacts", process.new_id)
    server = Server(settings(), "state", port=0, max_message_bytes=MAX_MESSAGE_BYTES, tell=tell)
    server.add(
        add_StateServiceServicer_to_server,
        StateServicer(
            State(kept, view, mirror, audit, follower, contents, vigil, turns, process, sets),
            feed.watching,
        ),
    )
    await mirror.open(log.last_sequence)
    await followed(sets.follower, follower)
    await server.start()
    address = f"127.0.0.1:{server.port}"
    try:
        async with (
            in_step((sets.follower, follower), mirror, server.set_serving),
            judging.at_work(),
            client.channel(address, internal_key=KEY, max_message_bytes=MAX_MESSAGE_BYTES) as channel,
        ):
            await until(lambda: mirror.filled or not filled, "the store was not filled")
            yield Running(
                StateServiceStub(channel),
                log,
                redis,
                mirror,
                follower,
                home,
                feed.watching,
                server,
                turns,
                view,
                kept,
                sets,
            )
    finally:
        turns.close()
        await server.stop()
        await follower.stop()
        await sets.follower.stop()
        await redis.aclose()


@pytest_asyncio.fixture
async def state(valkey_server: ValkeyServer, tmp_path: Path) -> AsyncIterator[Running]:
    redis = store.connect(valkey_server.url)
    await redis.flushall()
    await redis.aclose()
    async with serving(MemoryLog(CODEC), valkey_server.url, tmp_path) as running:
        yield running
