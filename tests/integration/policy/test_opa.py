"""A real policy process that asks an OPA server: its no is a no, its silence too, and health says what is wrong."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chassis.eventlog.wire import Connection
from provost.policy.v1 import policy_pb2 as pb
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until
from tests.integration.policy.conftest import PolicyProcess, serving
from tests.integration.policy.test_crash import Caller, ask, put_packet


class Handler(BaseHTTPRequestHandler):
    """Leaves `db-1` alone, and wants to be asked about `db-2`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    gone = threading.Event()

    def do_GET(self) -> None:  # the base class names it so
        self.answer({})

    def do_POST(self) -> None:  # the base class names it so
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        target = asked["action"]["target"]
        deny = [{"id": "alone", "text": "db-1 is left alone"}] if target == "db-1" else []
        self.answer({"result": {"deny": deny, "approve": ["ask me"] if target == "db-2" else []}})

    def answer(self, value: object) -> None:
        if self.gone.is_set():
            self.close_connection = True
            return
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


@pytest.fixture
def opa() -> Iterator[ThreadingHTTPServer]:
    Handler.gone.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


async def authorized(caller: Caller, target: str, request_id: str, sequence: int = 0) -> pb.Decision:
    request = ask(request_id, sequence=sequence)
    request.action.target = target
    decision: pb.Decision = (await caller.call("Authorize", request)).decision
    return decision


async def test_an_opa_server_is_asked_and_its_silence_is_a_no(
    tmp_path: Path, nats_server: NatsServer, events: Connection, opa: ThreadingHTTPServer
) -> None:
    policy = PolicyProcess(tmp_path, nats_server.url, OPA_ENDPOINT=f"http://127.0.0.1:{opa.server_port}")
    policy.start()
    try:
        async with policy.channel() as channel:
            caller = Caller(channel)
            register = pb.RegisterAgentRequest(
                request_id="r", agent_id="sre-1", tier=pb.TIER_T1_OPERATOR, agent_version="1"
            )
            await caller.call("RegisterAgent", register)
            sequence = await put_packet(events, "sre-1")
            refused, asked, allowed = [
                await authorized(caller, f"db-{n}", f"r{n}", sequence) for n in (1, 2, 3)
            ]
            assert (refused.verdict, refused.reason, refused.rule) == (
                pb.VERDICT_DENY,
                "OPA_DENIED",
                "opa.alone",
            )
            assert (asked.verdict, asked.rule) == (pb.VERDICT_NEEDS_APPROVAL, "opa.opa")
            assert allowed.verdict == pb.VERDICT_ALLOW
            Handler.gone.set()

            async def silenced() -> bool:
                return not await asyncio.to_thread(serving, policy.port)

            await until(silenced, "it serves without its OPA")
            silent = await authorized(caller, "db-3", "r4")
            assert (silent.verdict, silent.reason) == (pb.VERDICT_DENY, "OPA_UNREACHABLE")
    finally:
        policy.stop()
