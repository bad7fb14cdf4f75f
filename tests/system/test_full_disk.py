"""Fault 7: the disk under the event log is full. Nothing is acknowledged that is not kept, and it goes on when there is
room. On a small tmpfs in a mount namespace of its own, which takes root or user namespaces."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.eventlog.connection import connect
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.stream import ensure_stream, stream_state
from kernel.events import Head, Stream
from kernel.faults import Fault
from tests.contract.eventlog.words import CODEC, SOURCE, StringValue, cause
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess
from tests.integration.ledger.test_real import reached, verified

pytestmark = pytest.mark.system


class SmallDisk:
    """A tmpfs that only processes of its namespace see; it lives as long as the process that holds it."""

    def __init__(self, place: Path, size: str) -> None:
        self.place = place
        place.mkdir()
        command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
        mount = f'mount -t tmpfs -o size={size} tmpfs "{place}" && echo mounted && exec cat'
        self._holder = subprocess.Popen(
            [*command, "sh", "-c", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        assert said == "mounted\n", "no mount namespaces here: run as root, or allow user namespaces"

    @property
    def inside(self) -> list[str]:
        """What makes a command run where the disk is seen."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._holder.pid), *user, "--mount"]

    def resize(self, size: str) -> None:
        subprocess.run([*self.inside, "mount", "-o", f"remount,size={size}", str(self.place)], check=True)

    def close(self) -> None:
        self._holder.communicate("", timeout=10)


class NatsOnSmallDisk(NatsServer):
    def __init__(self, directory: Path, disk: SmallDisk) -> None:
        super().__init__(directory)
        self.may_use("1GB")  # it would size itself by the disk as it is now
        self._command = [*disk.inside, *self._command]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "jetstream", "3m")
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, disk: SmallDisk) -> Iterator[NatsServer]:
    made = NatsOnSmallDisk(tmp_path, disk)
    made.start()
    yield made
    made.stop()


async def test_fault_7_a_full_disk_under_the_log(tmp_path: Path, disk: SmallDisk, server: NatsServer) -> None:
    connection = await connect(server.url, name="test")
    await ensure_stream(connection, max_bytes=256 * 1024**2)
    home = tmp_path / "ledger"
    home.mkdir()
    ledger = LedgerProcess(home, server.url)
    ledger.start()
    log = JetStreamLog(connection, CODEC, SOURCE, patience_seconds=2.0)
    heavy = "x" * 20_000

    async def append(n: int) -> int:
        stream = Stream("default", "test", "thing", f"id-{n}")
        appended = await log.append(stream, [StringValue(f"{n} {heavy}")], after=Head(), cause=cause(f"r{n}"))
        return appended.sequence

    try:
        acknowledged: list[int] = []

        async def fill() -> None:
            while True:
                acknowledged.append(await append(len(acknowledged)))

        with pytest.raises(Fault):
            await fill()
        assert 50 < len(acknowledged) < 200
        with pytest.raises(Fault):
            await append(1000)
        await reached(ledger, acknowledged[-1])
        assert ledger.rows() == list(range(1, len(ledger.rows()) + 1))
        disk.resize("50m")
        # A stream that could not write takes nothing more until its server is started again, as supervisors do.
        server.kill()
        server.start()
        state = await stream_state(connection)
        assert state.last >= acknowledged[-1]
        more = [await append(2000 + n) for n in range(20)]
        assert more[-1] == state.last + 20
        await reached(ledger, more[-1])
        await until(ledger.serving, "the ledger does not recover")
        assert ledger.rows() == list(range(1, more[-1] + 1))
        assert (await verified(ledger)).ok
    finally:
        await asyncio.to_thread(ledger.stop)
        await connection.close()
