"""The store's client against a real server: secrets, restarts, and one that does not answer."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TookTooLong

from chassis import store
from chassis.tls import certificates
from tests.fakes.certificates import Issued
from tests.fakes.valkey_server import PASSWORD, ValkeyServer


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


async def test_over_tls_it_shows_the_certificate_that_is_good_now(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    issued = Issued(tmp_path / "ca").issue("store", "state")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(issued.files("store")[2]))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*issued.files("store")[:2])
    shown: list[str] = []

    async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What speaks TLS for the server, whose build does not."""
        shown.append(writer.get_extra_info("peercert")["serialNumber"])
        behind, to = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(_passed(reader, to), _passed(behind, writer), return_exceptions=True)

    serving = await asyncio.start_server(front, "127.0.0.1", 0, ssl=context)
    port = serving.sockets[0].getsockname()[1]
    url = f"rediss://:{PASSWORD}@localhost:{port}/0"
    client = store.connect(url, certificates=certificates.Certificates(*issued.files("state")))
    assert await client.set("a", "1")
    await client.connection_pool.disconnect()
    issued.issue("state")
    assert await client.get("a") == "1"
    assert len(set(shown)) == 2
    await client.aclose()
    stranger = Issued(tmp_path / "stranger").issue("state")
    refused = store.connect(url, certificates=certificates.Certificates(*stranger.files("state")))
    with pytest.raises(Disconnected, match="certificate verify failed"):
        await refused.ping()
    await refused.aclose()
    serving.close()


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65_536):
        writer.write(some)
    writer.close()
