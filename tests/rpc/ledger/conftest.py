"""The ledger over gRPC, in this process, over a log in a list."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from pydantic import SecretStr

from chassis.config import ServiceSettings
from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from chassis.rpc.cause import Metadata, metadata_of
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from services.ledger.adapters.exporting.exporter import ProcessExporter
from services.ledger.domain.erasure import ERASURE
from services.ledger.handlers.causes import Causes
from services.ledger.handlers.erasing import Erasing
from services.ledger.handlers.exporting import Exports
from services.ledger.rpc import LedgerServicer
from services.ledger.wire.erasures import EVENTS
from services.ledger.wire.references import references_of
from services.ledger.wire.understanding import understand
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.unit.ledger.fakes import Bench, ListedLog
from tests.unit.ledger.story import BEGIN, plains, run

KEY = "an internal key for tests"


@dataclass
class Caller:
    """Calls the ledger in the name of someone."""

    bench: Bench
    channel: grpc.aio.Channel
    keys: MemorySubjectKeys
    tenant: str = "default"
    roles: tuple[str, ...] = ("viewer",)

    def as_(self, *roles: str, tenant: str = "default") -> "Caller":
        return Caller(self.bench, self.channel, self.keys, tenant, roles)

    @property
    def metadata(self) -> Metadata:
        return metadata_of(Cause(self.tenant, "r", "key:tests", datetime(2026, 3, 1, tzinfo=UTC)), self.roles)

    async def ask(self, method: str, request: Any) -> Any:
        call = getattr(LedgerServiceStub(self.channel), method)
        return await call(request, metadata=self.metadata, timeout=20)


@pytest.fixture
async def viewer(tmp_path: Path) -> AsyncIterator[Caller]:
    """A viewer of tenant `default`, in whose ledger are 40 events and a run, and a run of tenant `acme`."""
    log = ListedLog([*plains(40), *run(first=41), *run("acme", first=50)])
    bench = await Bench(tmp_path, log).start()
    await bench.ledger.begin()
    await bench.catch_up()
    await bench.ledger.sign(BEGIN)
    settings = ServiceSettings(_env_file=None, internal_key=SecretStr(KEY))
    server = Server(settings, "ledger", port=0)
    exports = Exports(
        bench.book,
        bench.signer,
        ProcessExporter(),
        bench.ledger.proving.tree_head,
        lambda: bench.ledger.position,
    )
    causes = Causes(bench.book, understand, references_of)
    keys = MemorySubjectKeys()
    erasing = Erasing(keys, HeldAggregates(ERASURE, MemoryLog(EVENTS), EVENTS))
    servicer = LedgerServicer(bench.ledger, exports, causes, erasing, read_seconds=1.0)
    server.add(add_LedgerServiceServicer_to_server, servicer)
    await server.start()
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        yield Caller(bench, channel, keys)
    await server.stop()
    await bench.book.close()
