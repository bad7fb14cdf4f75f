"""HTTPS at the gateway: what is shown is renewed while it runs, and what is under way goes on over it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chassis.tls.certificates import Certificates, Material
from services.gateway.domain.callers import Caller
from services.gateway.domain.history import Watched, WatchFrom
from services.gateway.domain.records import EventFilter
from services.gateway.web import server as web_server
from services.gateway.web import sockets
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpPortTaken, HttpServer
from tests.fakes.certificates import Issued
from tests.fakes.doors import VIEWER, House
from tests.fakes.history import FakeHistory, event_of
from tests.fakes.wait import until
from tests.fakes.websocket import websocket

pytestmark = pytest.mark.timeout(60)
ABOUT = About("0", "keys", 100, 60.0, True, 2, 0.7, False, websocket_url="wss://provost.example/events")
ASK = f"GET /api/config HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {VIEWER}\r\n\r\n".encode()


@dataclass
class Served:
    house: House
    web: HttpServer
    issued: Issued

    @property
    def files(self) -> tuple[Path, Path, Path]:
        return self.issued.files("gateway")

    def believing(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.files[2]))

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.web.port, ssl=self.believing(), server_hostname="localhost"
        )

    async def shown(self) -> bytes:
        """The certificate that a new handshake shows, checked by its authority and name; DER."""
        _, writer = await self.connected()
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return shown

    def on_disk(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(f"{self.files[0].read_text().partition(_END)[0]}{_END}")

    async def shows_what_is_on_disk(self) -> bool:
        try:
            return await self.shown() == self.on_disk()
        except ConnectionError:
            return False  # a handshake with the one that ends as this one comes

    async def renewed(self) -> None:
        """Wait until the new certificate is shown, and by nobody else any more."""
        await until(self.shows_what_is_on_disk, "the old certificate is still shown")
        await until(lambda: len(servers()) == 1, "the server before never ends")


def servers() -> list[str]:
    return [each.get_name() for each in asyncio.all_tasks() if each.get_name() == "http"]


_END = "-----END CERTIFICATE-----"


@pytest_asyncio.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("chassis.tls.certificates.LOOK_SECONDS", 0.0)
    monkeypatch.setattr(web_server, "LOOK_SECONDS", 0.01)
    issued, house = Issued(tmp_path / "ca").issue("gateway"), House()
    web = HttpServer(
        build(house.gateway, ABOUT), "127.0.0.1", 0, 5.0, Certificates(*issued.files("gateway")[:2])
    )
    await web.start()
    yield Served(house, web, issued)
    await web.stop()


def tells(capsys: pytest.CaptureFixture[str], what: str) -> Callable[[], bool]:
    """Whether the process has said `what` since this was called."""
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return what in said

    return told


async def answered(reader: asyncio.StreamReader) -> int:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
    return int(head.split()[1])


class Paced(FakeHistory):
    """A watch that tells an event each time it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let: asyncio.Queue[int] = asyncio.Queue()

    async def watch(
        self, events: EventFilter, begin: WatchFrom, caller: Caller
    ) -> AsyncGenerator[Watched, None]:
        self.asked.append(begin)
        yield Watched((), begin.cursor or "c0", 0)
        while sequence := await self.let.get():
            yield Watched((event_of(sequence),), f"c{sequence}", sequence)


async def test_a_renewed_certificate_is_shown_and_what_is_under_way_goes_on(served: Served) -> None:
    paced = Paced()
    served.house.ledger.watch = paced.watch  # type: ignore[method-assign]
    assert await served.shows_what_is_on_disk()
    reader, writer = await served.connected()
    writer.write(ASK.replace(b"/api/config", b"/api/events/stream"))
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"id: c0\n"), 10)
    for sequence in (1, 2):
        before = served.on_disk()
        served.issued.issue("gateway")
        assert served.on_disk() != before
        await until(served.shows_what_is_on_disk, "the old certificate is still shown")
        paced.let.put_nowait(sequence)
        await asyncio.wait_for(reader.readuntil(b"id: c%d\n" % sequence), 10)
    writer.close()
    await served.renewed()
    reader, writer = await served.connected()
    for _ in range(2):
        writer.write(ASK)
        assert await answered(reader) == 200
    writer.close()


async def test_whatever_is_begun_while_certificates_are_renewed_is_answered(served: Served) -> None:
    begun, answers, over = served.house.meter.taken, 0, False

    async def ask() -> None:
        nonlocal answers
        while not over:
            try:
                reader, writer = await served.connected()
                writer.write(ASK.replace(b"/api/config", b"/api/runs"))
                assert await answered(reader) == 200
                writer.close()
                answers += 1
            except (ConnectionError, asyncio.IncompleteReadError):
                continue  # closed before it was heard

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(3):
        served.issued.issue("gateway")
        await served.renewed()
    over = True
    await asyncio.gather(*asking)
    assert answers == len(begun) > 0


async def test_a_websocket_is_sent_to_who_shows_the_new_one(served: Served) -> None:
    paced = Paced()
    served.house.ledger.watch = paced.watch  # type: ignore[method-assign]
    port, headers = served.web.port, {"X-API-Key": VIEWER}
    async with websocket(port, sockets.PATH, headers, tls=served.believing()) as socket:
        assert await socket.message() == {"cursor": "c0"}
        served.issued.issue("gateway")
        assert await socket.rest() == []
        assert socket.closed == (1012, "")
    await served.renewed()
    again = f"{sockets.PATH}?after=c0"
    async with websocket(port, again, headers, tls=served.believing()) as socket:
        assert await socket.message() == {"cursor": "c0"}
        paced.let.put_nowait(1)
        message = await socket.message()
        assert message is not None
        assert message["event"]["sequence"] == 1


async def test_files_that_are_renewed_by_half_are_waited_out(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    key = served.files[1]
    old, old_key = served.on_disk(), key.read_bytes()
    served.issued.issue("gateway")
    fresh_key = key.read_bytes()
    key.write_bytes(old_key)
    await until(
        tells(capsys, "the one read before stays in use"), "nobody says that the files do not belong together"
    )
    assert await served.shown() == old
    key.write_bytes(fresh_key)
    await served.renewed()


async def test_a_certificate_that_no_client_would_take_is_not_taken_either(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    old = served.on_disk()
    certificate, key, _ = served.files
    weak = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    at = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, weak.public_key(), 1, at, at + timedelta(hours=1))
    certificate.write_bytes(made.sign(weak, SHA256()).public_bytes(Encoding.PEM))
    key.write_bytes(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    await until(tells(capsys, "the certificate cannot be used"), "nobody says that it cannot be used")
    assert await served.shown() == old
    served.issued.issue("gateway")
    await served.renewed()


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), ssl.SSLError("passing")])
async def test_what_fails_once_is_tried_again_and_told_once(
    served: Served, problem: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, tries, files = served.on_disk(), 0, web_server._files

    def failing(material: Material | None, directory: Path) -> tuple[Path, Path] | None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise problem
        return files(material, directory)

    monkeypatch.setattr(web_server, "_files", failing)
    served.issued.issue("gateway")
    await until(lambda: tries > 0, "the new certificate is never tried")
    await served.renewed()
    assert await served.shown() != old
    assert capsys.readouterr().out.count("the one read before stays in use") == 1
    assert tries == 4


async def test_one_that_ended_by_itself_leaves_nothing_behind(served: Served) -> None:
    for server in served.web._serving.values():
        server.stop()  # type: ignore[no-untyped-call]
    await until(lambda: not servers(), "it does not end")
    await served.web.stop()
    assert "http certificate" not in {each.get_name() for each in asyncio.all_tasks()}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.web.port)


async def test_a_port_that_is_taken_is_named(served: Served) -> None:
    other = HttpServer(build(served.house.gateway, ABOUT), "127.0.0.1", served.web.port, 5.0)
    with pytest.raises(HttpPortTaken, match=f"port {served.web.port} .* PROVOST_HTTP_PORT"):
        await other.start()


async def test_in_the_clear_nobody_is_served(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.web.port)
    writer.write(ASK)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await answered(reader)
    writer.close()
