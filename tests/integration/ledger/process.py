"""The ledger as it really runs: a process of its own over a real nats-server."""

import asyncio
import json
import resource
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.eventlog.wire import Connection
from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from kernel.events import Cause
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from services.ledger.domain.entry import Message
from tests.fakes.process import ServerProcess, free_port

KEY = "an internal key for tests"


class LedgerProcess(ServerProcess):
    """`python -m services.ledger`. `start` waits for SERVING unless the ledger is not `expected_to_serve`."""

    def __init__(self, home: Path, nats_url: str, **more: str) -> None:
        self.home = home
        self.expected_to_serve = True
        self.metrics_port = 0
        port = free_port()
        settings = {
            "PROVOST_HOME": str(home),
            "PROVOST_NATS_URL": nats_url,
            "PROVOST_LEDGER_PORT": str(port),
            "PROVOST_METRICS_PORT": "0",
            "PROVOST_INTERNAL_KEY": KEY,
            **more,
        }
        told = [f"{name}={value}" for name, value in settings.items()]
        self.log = home / "ledger.log"
        super().__init__(["env", *told, sys.executable, "-m", "services.ledger"], port, self.log, self._ready)

    @property
    def database(self) -> Path:
        return self.home / "ledger" / "ledger.db"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serving(self) -> bool:
        """What health answers."""
        return self._health() == health_pb2.HealthCheckResponse.SERVING

    def _health(self) -> int | None:
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return None
        return int(answer.status)

    def delete_database(self) -> None:
        for each in self.database.parent.glob("ledger.db*"):
            each.unlink()

    def edit(self, statement: str) -> None:
        """Edit the database behind the ledger's back, triggers and all."""
        db = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        assert db.execute(statement).rowcount == 1
        db.close()

    def rows(self) -> list[int]:
        """The sequences in the database, read behind the ledger's back."""
        db = sqlite3.connect(self.database, timeout=10)
        found = [sequence for (sequence,) in db.execute("SELECT sequence FROM events ORDER BY sequence")]
        db.close()
        return found

    def limit_file_size(self, n_bytes: int) -> None:
        """Let no file of the process grow past `n_bytes`: what a full disk looks like to it."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))

    async def ask(
        self, method: str, request: Any, *, timeout_seconds: float = 60, patient: bool = True
    ) -> Any:
        """Call in the name of an administrator of tenant `default`; `patient` waits for a ledger that is away."""
        async with client.channel(self.address, internal_key=KEY) as channel:
            return await self.call(channel, method, request, timeout_seconds, patient)

    async def call(
        self,
        channel: grpc.aio.Channel,
        method: str,
        request: Any,
        timeout_seconds: float = 60,
        patient: bool = True,
    ) -> Any:
        """As `ask`, over a channel that is there already."""
        call = getattr(LedgerServiceStub(channel), method)
        # A channel to an address that just refused waits a while before it looks again: so does the call.
        return await call(request, metadata=_METADATA, timeout=timeout_seconds, wait_for_ready=patient)

    async def ask_all(self, method: str, request: Any, *, timeout_seconds: float = 60) -> list[Any]:
        """Every answer of a stream."""
        async with client.channel(self.address, internal_key=KEY) as channel:
            call = getattr(LedgerServiceStub(channel), method)
            answers = call(
                request, metadata=_METADATA, timeout=timeout_seconds, wait_for_ready=True
            )  # as `call`
            return [each async for each in answers]

    def _ready(self) -> bool:
        # That something takes a connection says nothing: on a port nobody listens at, a socket may meet itself.
        return self.serving() if self.expected_to_serve else self._health() is not None


_METADATA = metadata_of(Cause("default", "r", "key:tests", datetime(2026, 3, 1, tzinfo=UTC)), ("admin",))


async def publish(connection: Connection, messages: Sequence[Message], in_flight: int = 64) -> int:
    """Publish as they are; the sequence of the last one, once all are acknowledged."""
    last = 0
    for at in range(0, len(messages), in_flight):
        asked = [
            connection.ask(each.subject, each.payload, header=each.header, timeout_seconds=30)
            for each in messages[at : at + in_flight]
        ]
        for _, answer in await asyncio.gather(*asked):
            acknowledged = json.loads(answer)
            assert "error" not in acknowledged, acknowledged
            last = max(last, acknowledged["seq"])
    return last
