"""The ledger's connection to PostgreSQL over mutual TLS: Debian's server, for the wheel's build has none."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.tls import certificates
from chassis.tls.certificates import Certificates
from chassis.tls.contexts import client_context
from kernel.faults import Unavailable
from services.ledger.adapters.postgres.connection import Database
from tests.fakes.certificates import Issued
from tests.fakes.postgres_server import PostgresServer

# In the clear only the database that is asked whether it is up.
_WHO = """\
hostnossl admin all 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


class Debians(PostgresServer):
    """The newest that is installed."""

    def _installed(self) -> Path:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        assert found, "apt-get install postgresql"
        return found[-1].parent


@pytest.fixture
def issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issued:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    return Issued(tmp_path / "ca").issue("postgres", "ledger")


@pytest.fixture
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
    (running.data / "pg_hba.conf").write_text(_WHO)
    running.start()
    yield running
    running.stop()
    running.remove()
    shutil.rmtree(directory)


async def test_it_is_encrypted_and_shows_the_certificate_that_is_good_now(
    server: Debians, issued: Issued, tmp_path: Path
) -> None:
    url = server.url("postgres").replace("127.0.0.1", "localhost")
    database = Database(url, tls=client_context(Certificates(*issued.files("ledger"))))
    seen = set()
    for _ in range(2):
        connection = await database.connect()
        row = await connection.fetchrow("SELECT * FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert (row["ssl"], row["client_dn"]) == (True, "/CN=provost ledger")
        seen.add(row["client_serial"])
        await connection.close()
        issued.issue("ledger")
    assert len(seen) == 2
    with pytest.raises(Unavailable, match="no encryption"):
        await Database(url).connect()
    stranger = Issued(tmp_path / "stranger").issue("ledger")
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await Database(url, tls=client_context(Certificates(*stranger.files("ledger")))).connect()
