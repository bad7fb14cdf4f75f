"""The store's client against a real server: secrets, restarts, and one that does not answer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import TimeoutError as TookTooLong

from chassis import store
from tests.fakes.valkey_server import ValkeyServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    running = ValkeyServer(tmp_path)
    running.start()
    yield running
    running.stop()


async def test_a_restart_is_not_noticed(server: ValkeyServer) -> None:
    client = store.connect(server.url)
    assert await client.set("agent:{default/sre-1}:lock", "17")
    server.kill()
    restarting = asyncio.to_thread(server.start)
    asked = asyncio.gather(client.get("agent:{default/sre-1}:lock"), restarting)
    assert (await asked)[0] == "17"
    await client.aclose()


async def test_one_that_hangs_is_given_up(server: ValkeyServer) -> None:
    client = store.connect(server.url, timeout_seconds=0.05)
    assert await client.ping()
    server.pause()
    with pytest.raises(TookTooLong):
        await client.get("x")
    server.resume()
    assert await client.get("x") is None
    await client.aclose()


async def test_the_password_is_needed(server: ValkeyServer) -> None:
    client = store.connect(f"redis://:wrong@127.0.0.1:{server.port}/0")
    with pytest.raises(AuthenticationError):
        await client.ping()
    await client.aclose()
