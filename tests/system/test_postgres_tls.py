"""PostgreSQL over mutual TLS, as the compose cluster demands it: Debian's server, for the wheel's build has none."""

import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chassis.tls import certificates
from chassis.tls.certificates import Certificates
from chassis.tls.contexts import client_context
from kernel.faults import Unavailable
from services.ledger.adapters.postgres.__main__ import main
from services.ledger.adapters.postgres.connection import Database
from tests.fakes.certificates import Issued
from tests.fakes.partition import Partition
from tests.fakes.postgres_server import ADMIN, PostgresServer
from tests.fakes.wait import until
from tests.unit.house.skeleton import REPOSITORY

WHO = REPOSITORY / "deploy" / "postgres" / "pg_hba.conf"
ELSEWHERE = "127.0.0.2"
"""Not where the server is: for it this is somebody on the network."""


class Debians(PostgresServer):
    """The newest that is installed."""

    def _installed(self) -> Path:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        assert found, "apt-get install postgresql"
        return found[-1].parent


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("issued") / "ca").issue("postgres", "ledger")


@pytest.fixture(scope="module")
def server(issued: Issued) -> Iterator[Debians]:
    directory = Path(tempfile.mkdtemp(prefix="postgres-tls-"))
    directory.chmod(0o755)
    for file in issued.files("postgres"):
        copied = Path(shutil.copy(file, directory))
        copied.chmod(0o600)
        if os.getuid() == 0:
            os.chown(copied, pwd.getpwnam("nobody").pw_uid, -1)
    running = Debians(
        (
            "fsync=off", "ssl=on", f"ssl_cert_file={directory}/tls.crt", f"ssl_key_file={directory}/tls.key",
            f"ssl_ca_file={directory}/ca.crt",
        )
    )  # fmt: skip
    shutil.copy(WHO, running.data)
    running.start()
    yield running
    running.stop()
    running.remove()
    shutil.rmtree(directory)


@pytest.fixture
async def url(server: Debians) -> AsyncIterator[str]:
    """The server's, for somebody who is not on its machine."""
    async with Partition(server.port, ELSEWHERE).standing() as between:
        yield server.url("postgres").replace(f"127.0.0.1:{server.port}", f"localhost:{between.port}")


async def test_it_is_encrypted_and_shows_the_certificate_that_is_good_now(
    url: str, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    database = Database(url, tls=client_context(Certificates(*issued.files("ledger"))))
    seen = set()
    for _ in range(2):
        seen.add(await serial_shown(database))
        issued.issue("ledger")
    assert len(seen) == 2


async def serial_shown(database: Database) -> int:
    connection = await database.connect()
    row = await connection.fetchrow("SELECT * FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert (row["ssl"], row["client_dn"]) == (True, "/CN=provost ledger")
    await connection.close()
    return int(row["client_serial"])


async def test_nobody_else_comes_in(url: str, server: Debians, issued: Issued, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no encryption"):
        await Database(url).connect()
    authority = issued.files("ledger")[2]
    with pytest.raises(Unavailable, match="connection requires a valid client certificate"):
        await Database(f"{url}?sslmode=verify-full&sslrootcert={authority}").connect()
    stranger = Issued(tmp_path / "stranger").issue("ledger")
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await Database(url, tls=client_context(Certificates(*stranger.files("ledger")))).connect()
    certificate, key, _ = stranger.files("ledger")
    shown = f"sslcert={certificate}&sslkey={key}"
    with pytest.raises(Unavailable, match="closed|reset|unknown ca"):
        await Database(f"{url}?sslmode=verify-full&sslrootcert={authority}&{shown}").connect()
    refused = "could not accept SSL connection: certificate verify failed"
    await until(lambda: refused in (server.directory / "log").read_text(), "the stranger was not refused")


async def test_whoever_makes_it_ready_names_a_certificate_in_the_url(url: str, issued: Issued) -> None:
    certificate, key, authority = issued.files("ledger")
    named = f"sslmode=verify-full&sslrootcert={authority}&sslcert={certificate}&sslkey={key}"
    assert "is ready" in await main(
        f"{url}?{named}", Database(f"{url.replace(ADMIN, 'provost_ledger', 1)}?{named}")
    )
