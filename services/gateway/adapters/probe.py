"""How everything is: each service's own health over gRPC, how far its followers are behind from its metrics."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import process
from chassis.rpc.waiting import WHY
from kernel.faults import Fault
from services.gateway.adapters.peers import Peer
from services.gateway.domain.records import Component, Status

TIMEOUT_SECONDS = 1.5
KEPT_SECONDS = 0.5
MAX_PAGE_BYTES = 1024 * 1024
# A follower that was at the end of the log so recently is not behind.
CURRENT_SECONDS = 2.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
Ask = Callable[[], Any]


# Where a service offers its metrics, counted from its gRPC port.
METRICS_PORT_OFFSET = 2000


@dataclass(frozen=True, slots=True)
class Watched:
    """A service and the page of its metrics."""

    peer: Peer
    metrics_url: str


def watched(peers: Mapping[str, Peer], addresses: Mapping[str, str]) -> tuple[Watched, ...]:
    """Each peer with its metrics, at the first of its addresses, where they are unless somebody moved them."""
    first = {
        name: address.removeprefix("dns:///").split(",", 1)[0].rpartition(":")
        for name, address in addresses.items()
    }
    urls = {
        name: f"http://{host}:{int(port) + METRICS_PORT_OFFSET}/metrics"
        for name, (host, _, port) in first.items()
    }
    return tuple(Watched(peer, urls[name]) for name, peer in peers.items())


class EverythingProbe:
    """Implements `ports.Probe`. `others` are asked by a call that raises when all is not well."""

    def __init__(self, version: str, watched: tuple[Watched, ...], others: Mapping[str, Ask]) -> None:
        self._version = version
        self._watched = watched
        self._others = others
        self._kept: Status | None = None
        self._kept_until = 0.0
        self._asking = asyncio.Lock()

    async def status(self) -> Status:
        async with self._asking:  # many who ask at once are answered by one look
            if self._kept is None or process.monotonic() >= self._kept_until:
                services = (_service(each) for each in self._watched)
                others = (_other(name, ask) for name, ask in self._others.items())
                found = await asyncio.gather(*services, *others)
                own = Component("gateway", True, 0, "")
                self._kept = Status((own, *(each for some in found for each in some)), self._version)
                self._kept_until = process.monotonic() + KEPT_SECONDS
            return self._kept


async def _service(watched: Watched) -> list[Component]:
    name = watched.peer.name
    healthy, detail, why = True, "", ""
    try:
        stub: Any = health_pb2_grpc.HealthStub(watched.peer.channel)
        request = health_pb2.HealthCheckRequest()
        call = stub.Check(request, timeout=TIMEOUT_SECONDS, wait_for_ready=False)
        answer, said = await call, dict(await call.trailing_metadata()).get(WHY, "")
        why = said.decode() if isinstance(said, bytes) else said
        if answer.status != _SERVING:
            healthy, detail = False, why or "it is up, but not ready: it waits for what it depends on"
    except grpc.aio.AioRpcError as error:
        healthy, detail = False, f"it does not answer ({error.code().name})"
    if not healthy:
        return [Component(name, False, -1, detail)]
    page, problem = await _page(watched.metrics_url)
    if problem:
        return [Component(name, True, -1, problem)]
    lag, behind = lag_of(page)
    return [Component(name, True, lag, why or behind or crew_on(page)), *witnesses_on(page)]


async def _other(name: str, ask: Ask) -> list[Component]:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await ask()
    except Fault as fault:
        return [Component(name, False, -1, fault.text)]
    except Exception as error:  # noqa: BLE001 - however it fails, it is not well, and that is the answer
        return [Component(name, False, -1, f"it does not answer ({type(error).__name__})")]
    return [Component(name, True, 0, "")]


async def _page(url: str) -> tuple[str, str]:
    """The metrics there, or why they cannot be read."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _get(url), ""
    except (OSError, TimeoutError, ValueError) as error:
        return "", f"its metrics cannot be read ({type(error).__name__})"


def lag_of(page: str) -> tuple[int, str]:
    """What a page of metrics says about the followers behind it."""
    seconds = _values(page, "provost_follower_lag_seconds")
    if not seconds:
        return 0, "it follows nothing"
    behind, stale_seconds = int(max(_values(page, "provost_follower_lag_events"), default=0)), max(seconds)
    if stale_seconds < CURRENT_SECONDS:
        return behind, ""
    # It may not know by itself that there is more to read.
    return behind or -1, f"last at the end of the log {stale_seconds:.1f} s ago"


def crew_on(page: str) -> str:
    """What is to be told when the page of one replica of the orchestrator says that nobody of the crew is there."""
    nobody = 'provost_agents_attached{kind="built_in"} 0.0' in page.splitlines()
    return "no agent of the built-in crew is attached to the replica that was asked" if nobody else ""


def witnesses_on(page: str) -> list[Component]:
    """How the ledger says that it stands with each of its witnesses."""
    behind, answers, refuses = (
        dict(re.findall(rf'^provost_ledger_witness_{what}{{witness="([^"]*)"}} (\S+)$', page, re.MULTILINE))
        for what in ("behind_events", "answers", "refuses")
    )
    found = []
    for name, events in behind.items():
        detail = "" if float(answers.get(name, 0)) else "it does not answer the ledger"
        if float(refuses.get(name, 0)):
            detail = "it has seen another history and does not sign: provost ledger verify"
        found.append(Component(f"witness {name}", not detail, int(float(events)), detail))
    return found


def _values(page: str, name: str) -> list[float]:
    lines = (line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    return [float(line.rpartition(" ")[2]) for line in lines]


async def _get(url: str) -> str:
    """The page at a plain `http://` address of our own: an HTTP client would be a heavy thing to hold for this."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.hostname}\r\n\r\n".encode())
        answer = await reader.read(MAX_PAGE_BYTES)
        while not reader.at_eof() and len(answer) < MAX_PAGE_BYTES:
            answer += await reader.read(MAX_PAGE_BYTES)
    finally:
        writer.close()
    head, _, page = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ValueError("not a page of metrics")
    return page.decode()
