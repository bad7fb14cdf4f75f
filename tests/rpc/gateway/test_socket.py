"""Live events over a WebSocket: who is let in, what is told, and that whoever comes back misses nothing."""

import asyncio
import base64
import socket as sockets_of
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx2 as httpx
import pytest
import pytest_asyncio

from services.gateway.domain.callers import Caller, Keyring
from services.gateway.domain.history import Watched, WatchFrom
from services.gateway.domain.records import Event, EventFilter
from services.gateway.web import room, sockets, streams, unasked
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpServer
from tests.fakes.doors import OPERATOR, OTHER, VIEWER, House
from tests.fakes.history import FakeHistory, event_of
from tests.fakes.process import free_port
from tests.fakes.wait import until
from tests.fakes.websocket import Denied, websocket

PATH = sockets.PATH
AS_VIEWER = {"X-API-Key": VIEWER}
LOOPBACK = "127.0.0.1"


def has_ipv6() -> bool:
    try:
        with sockets_of.socket(sockets_of.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


BOUND = {"loopback": (LOOPBACK, LOOPBACK), "IPv4": ("0.0.0.0", LOOPBACK)}
if has_ipv6():
    BOUND |= {"IPv4-mapped": ("::", LOOPBACK), "IPv6": ("::", "::1")}
EVERYWHERE = pytest.mark.parametrize("served", BOUND.values(), ids=BOUND.keys(), indirect=True)
"""What the gateway listens on, and where its client connects."""


@dataclass
class Served:
    house: House
    web: HttpServer
    port: int
    host: str


@pytest_asyncio.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    listens, host = getattr(request, "param", (LOOPBACK, LOOPBACK))
    house, port = House(), free_port()
    about = About("0", "keys", 100, 60.0, True, 2, 0.7, False, websocket_url="wss://provost.example/events")
    web = HttpServer(build(house.gateway, about), listens, port, 5.0)
    await web.start()
    yield Served(house, web, port, host)
    await web.stop()


class Endless(FakeHistory):
    """A watch of one event after another, `size` bytes each, until nobody wants more."""

    def __init__(self, size: int = 0, events: int = 10**9) -> None:
        super().__init__()
        self.size, self.events, self.told, self.ended = size, events, 0, False

    async def watch(
        self, events: EventFilter, begin: WatchFrom, caller: Caller
    ) -> AsyncGenerator[Watched, None]:
        self.asked.append((events, begin, caller))
        try:
            yield Watched((), "c0", 0)
            while self.told < self.events:
                self.told += 1
                event = event_of(self.told)
                yield Watched((_with(event, self.size),), f"c{self.told}", self.told)
            await asyncio.Event().wait()
        finally:
            self.ended = True


def _with(event: Event, size: int) -> Event:
    return replace(event, payload={"text": "x" * size})


@EVERYWHERE
async def test_events_come_each_with_its_cursor_and_then_why_it_ends(served: Served) -> None:
    async with websocket(served.port, f"{PATH}?from_start=true", AS_VIEWER, host=served.host) as socket:
        messages = await socket.rest()
    assert messages[0] == {"cursor": "c0"}
    assert [each["event"]["sequence"] for each in messages if "event" in each] == list(range(1, 11))
    assert messages[-1]["problem"]["reason"] == "WATCH_TOO_SLOW"
    assert messages[-1]["cursor"] == "c10"
    assert socket.closed == (4429, "WATCH_TOO_SLOW")


@pytest.mark.parametrize("cut", [1, 4, 6, 14])
async def test_wherever_it_is_cut_the_rest_comes_once_and_in_order(served: Served, cut: int) -> None:
    async with websocket(served.port, f"{PATH}?from_start=true", AS_VIEWER) as socket:
        some = [await socket.message() for _ in range(cut)]
    last = some[-1]
    assert last is not None
    async with websocket(served.port, f"{PATH}?after={last['cursor']}", AS_VIEWER) as socket:
        more = await socket.rest()
    told = [each["event"]["sequence"] for each in [*some, *more] if each and "event" in each]
    assert told == list(range(1, 11))


async def test_filters_reach_the_ledger_and_so_does_the_tenant(served: Served) -> None:
    served.house.ledger.watch = Endless(events=1).watch  # type: ignore[method-assign]
    asked = served.house.ledger.watch.__self__.asked  # type: ignore[attr-defined]
    path = f"{PATH}?event_type=RunEnded&run_id=r&agent_id=a&decision=DENY"
    async with websocket(served.port, path, {"Authorization": f"Bearer {OTHER}"}) as socket:
        await socket.message()
    ((wanted, begin, caller),) = asked
    assert wanted == EventFilter(event_type="RunEnded", run_id="r", agent_id="a", decision="DENY")
    assert (begin, caller.tenant) == (WatchFrom(), "acme")


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        (PATH, {}, 401, "KEY_MISSING"),
        (PATH, {"X-API-Key": "nobody's"}, 401, "KEY_UNKNOWN"),
        (f"{PATH}?api_key=nobodys", {}, 401, "KEY_UNKNOWN"),
        (PATH, {**AS_VIEWER, "Origin": "https://elsewhere.example"}, 403, "ORIGIN_REFUSED"),
        (PATH, {**AS_VIEWER, "Origin": "http://["}, 403, "ORIGIN_REFUSED"),
    ],
)
async def test_whoever_is_not_let_in_gets_no_socket(
    served: Served, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    with pytest.raises(Denied) as denied:
        async with websocket(served.port, path, headers):
            pass
    assert (denied.value.status, denied.value.problem["reason"]) == (status, reason)
    assert served.house.refusals.noted[-1]["reason"] == reason
    assert VIEWER not in str(served.house.refusals.noted)


async def test_pages_of_the_gateway_and_of_the_url_that_is_told_are_let_in(served: Served) -> None:
    for origin in (f"http://127.0.0.1:{served.port}", "https://provost.example"):
        async with websocket(served.port, PATH, {**AS_VIEWER, "Origin": origin}) as socket:
            assert await socket.message() == {"cursor": "c10"}


async def test_a_browser_shows_its_key_as_a_subprotocol(served: Served) -> None:
    key = base64.urlsafe_b64encode(OPERATOR.encode()).decode().rstrip("=")
    async with websocket(served.port, PATH, protocols=[sockets.PROTOCOL, f"provost.key.{key}"]) as socket:
        assert socket.protocol == sockets.PROTOCOL
        assert await socket.message() == {"cursor": "c10"}
    with pytest.raises(Denied):
        async with websocket(served.port, PATH, protocols=[sockets.PROTOCOL, "provost.key.%%%"]):
            pass


async def test_without_any_key_pages_of_other_sites_are_refused(served: Served) -> None:
    served.web._app.state.gateway = House(Keyring(())).gateway
    async with websocket(served.port, PATH) as socket:
        assert await socket.message() == {"cursor": "c10"}
    with pytest.raises(Denied) as denied:
        async with websocket(served.port, PATH, {"Origin": "https://elsewhere.example"}):
            pass
    assert denied.value.problem["reason"] == "ORIGIN_REFUSED"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("after=another", "CURSOR_INVALID"),
        ("misspelt=1", "FIELD_INVALID"),
        ("from_start=maybe", "FIELD_INVALID"),
        (f"run_id={'x' * 1001}", "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_watched_is_told_in_the_socket(served: Served, query: str, reason: str) -> None:
    async with websocket(served.port, f"{PATH}?{query}", AS_VIEWER) as socket:
        (only,) = await socket.rest()
    assert only["problem"]["reason"] == reason
    assert socket.closed == (4400, reason)


@EVERYWHERE
async def test_it_takes_no_messages(served: Served) -> None:
    endless = Endless(events=1)
    served.house.ledger.watch = endless.watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER, host=served.host) as socket:
        await socket.send("hello")
        await socket.rest()
    assert socket.closed is not None
    assert socket.closed[0] == 1003
    await until(lambda: endless.ended, "the watch goes on")


@EVERYWHERE
async def test_a_message_that_does_not_end_is_not_collected(served: Served) -> None:
    served.house.ledger.watch = Endless(events=1).watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER, host=served.host) as socket:
        await socket.message()
        await socket.begin(unasked.MAX_BYTES + 1_000)
        await socket.rest()
    assert socket.closed is not None
    assert socket.closed[0] == 1003


@EVERYWHERE
async def test_a_client_that_pings_stays_however_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unasked, "MAX_BYTES", 1000)
    # In each turn of the loop, of which a ping takes several.
    monkeypatch.setattr(unasked, "LOOK_SECONDS", 0.0)
    served.house.ledger.watch = Endless(events=0).watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER, host=served.host) as socket:
        assert await socket.message() == {"cursor": "c0"}
        for number in range(300):  # of 10 B each
            await socket.ping(f"{number:04}")
            assert await socket.message() == {"pong": f"{number:04}"}


def test_a_ping_each_second_is_allowed_for_ever_and_a_message_without_an_end_is_not() -> None:
    def lasts(bytes_each_second: int, seconds: int) -> int:
        allowed, received = unasked.MAX_BYTES, 0
        for second in range(seconds):
            received += bytes_each_second
            if received > allowed:
                return second
            allowed = unasked.allowance(allowed, received)
        return seconds

    assert unasked.LOOK_SECONDS == 1.0
    assert lasts(32, 100_000) == 100_000
    assert lasts(100, 100_000) < 2_000
    assert lasts(unasked.MAX_BYTES + 1, 10) == 0
    assert unasked.allowance(unasked.MAX_BYTES, 0) == unasked.MAX_BYTES, "silence is saved up"


async def test_where_the_kernel_does_not_count_it_is_served_and_told_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unasked, "_received", lambda _: 0)
    monkeypatch.setattr(unasked, "LOOK_SECONDS", 0.0)
    unasked._tell_once.cache_clear()
    served.house.ledger.watch = Endless(events=0).watch  # type: ignore[method-assign]
    said = ""

    def told() -> int:
        nonlocal said
        said += capsys.readouterr().out
        return said.count("is not counted")

    async with websocket(served.port, PATH, AS_VIEWER) as one, websocket(served.port, PATH, AS_VIEWER) as two:
        for socket in (one, two):
            assert await socket.message() == {"cursor": "c0"}
            await until(lambda: told() == 1, "nobody says so, or everybody does")
            await socket.ping("there?")
            assert await socket.message() == {"pong": "there?"}
    assert told() == 1


async def test_there_are_only_so_many_sockets(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SOCKETS", 1)
    served.house.ledger.watch = Endless(events=1).watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER) as one:
        assert await one.message() == {"cursor": "c0"}
        async with websocket(served.port, PATH, {"X-API-Key": OPERATOR}) as two:
            await two.rest()
        assert two.closed == (4429, "TOO_MANY_WATCHES")


@EVERYWHERE
async def test_a_gateway_that_stops_says_so_and_where_to_go_on(served: Served) -> None:
    served.house.ledger.watch = Endless(events=3).watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER, host=served.host) as socket:
        cursor = ""
        while cursor != "c3":
            message = await socket.message()
            assert message is not None
            cursor = message["cursor"]
        stopping = asyncio.create_task(served.web.stop())
        (last,) = await socket.rest()
        await stopping
    assert (last["problem"]["reason"], last["cursor"]) == ("SHUTTING_DOWN", "c3")
    assert socket.closed == (1012, "SHUTTING_DOWN")


async def test_one_key_has_only_so_many(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PER_KEY", 2)
    endless = Endless(events=1)
    served.house.ledger.watch = endless.watch  # type: ignore[method-assign]
    async with websocket(served.port, PATH, AS_VIEWER) as one, websocket(served.port, PATH, AS_VIEWER) as two:
        assert await one.message() == await two.message() == {"cursor": "c0"}
        async with websocket(served.port, PATH, AS_VIEWER) as three:
            await three.rest()
        assert three.closed == (4429, "TOO_MANY_WATCHES")
        async with websocket(served.port, PATH, {"X-API-Key": OPERATOR}) as another:
            assert await another.message() == {"cursor": "c0"}
    await until(lambda: not served.web._app.state.streams._open, "somebody who went away still counts")
    assert endless.ended


async def test_whoever_never_reads_is_left_and_costs_no_memory(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "READ_SECONDS", 0.5)
    endless = Endless(size=100_000)
    served.house.ledger.watch = endless.watch  # type: ignore[method-assign]
    with lazy_reader(served.port):
        await until(lambda: endless.ended, "the watch goes on though nobody reads")
        assert endless.told < 500, "what nobody reads is piled up"


async def test_whoever_never_reads_keeps_nobody_else_waiting(served: Served) -> None:
    endless = Endless(size=100_000)
    served.house.ledger.watch = endless.watch  # type: ignore[method-assign]
    with lazy_reader(served.port), lazy_reader(served.port):
        await until(lambda: endless.told > 0, "nobody is told anything")
        told = 0
        while told != endless.told:  # until neither takes any more
            told = endless.told
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}") as client:
                assert (await client.get("/api/health", timeout=20)).status_code == 200


@contextmanager
def lazy_reader(port: int) -> Iterator[None]:
    """The client of a socket that reads nothing of what it is told."""
    head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-API-Key: {VIEWER}\r\n"
    with sockets_of.socket() as lazy:
        lazy.setsockopt(sockets_of.SOL_SOCKET, sockets_of.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", port))
        lazy.sendall(
            f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        yield
