"""Connections to PostgreSQL, and what its errors mean to the ledger. No error or log ever shows the password.

What can be said about a connection is said in its URL, as libpq has it: `?sslmode=verify-full&sslrootcert=/ca.pem`. The
password may stand in a file instead, which is read for every connection, so that it can be changed.
"""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]

from kernel.faults import Fault, Unavailable
from services.ledger.adapters.postgres import text
from services.ledger.adapters.postgres.definition import LIVE
from services.ledger.domain.faults import LedgerDiverged

Connection: TypeAlias = asyncpg.Connection
Record: TypeAlias = Sequence[Any]
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
NO_SETTINGS: Mapping[str, str] = {}
_COMMON = {
    "application_name": "provost-ledger",
    "jit": "off",  # no statement here is long enough to be worth it
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # So that the server lets go of a writer's lock soon after the writer's machine is gone.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_DAMAGED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
_NOT_OURS = (asyncpg.UniqueViolationError, asyncpg.RaiseError)
_GONE = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError)
_SHUT_OUT = (asyncpg.InvalidAuthorizationSpecificationError,)
_AS_IF_GONE = (*_GONE, *_SHUT_OUT, asyncpg.InsufficientPrivilegeError)
"""What a connection says, too, whose user was dropped meanwhile: it sees no table any more."""
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ssl.SSLError)
"""Everything that asyncpg raises when something is wrong outside."""


class Login(Protocol):
    """Somebody who is let in for a while."""

    def __call__(self) -> Mapping[str, str]:
        """Who it is at this moment, as `username` and `password`."""
        ...

    def refused(self, username: str) -> None:
        """That one is not let in any more: another is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is, and how to get in."""

    url: str = field(repr=False)
    password_file: Path | None = None
    login: Login | None = field(default=None, repr=False)
    """Who gets in, in place of whom the URL names."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """With what it is spoken to, unless the URL names an `sslmode`."""

    @property
    def user(self) -> str:
        """Who gets in now, when that changes; a connection of somebody before is good for a while only."""
        return "" if self.login is None else self.login()["username"]

    @property
    def name(self) -> str:
        """How it is called in logs and errors: host and database, without who and how."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2] or "localhost"
        return f"{host}{parts.path}"

    async def connect(
        self,
        schema: str = LIVE,
        statement_seconds: float = STATEMENT_SECONDS,
        settings: Mapping[str, str] = NO_SETTINGS,
    ) -> Connection:
        """A connection that finds tables in `schema`. Raises Unavailable: there is none to be had."""
        login = self.login() if self.login is not None else {}
        path = {"search_path": schema, "statement_timeout": f"{statement_seconds:.0f}s"}
        try:
            if urlsplit(self.url).netloc.count("@") > 1:
                raise ValueError("what asyncpg would take for the host is part of the password")
            connection: Connection = await asyncpg.connect(
                self.url,
                user=login.get("username"),
                password=login.get("password", self.password),
                ssl=None if "sslmode=" in urlsplit(self.url).query else self.tls,
                timeout=CONNECT_SECONDS,
                command_timeout=statement_seconds + 5,  # when the server itself does not answer any more
                server_settings={**_COMMON, **path, **settings},
            )
        except (*FAILURES, ValueError, OverflowError) as problem:
            if self.login is not None and isinstance(problem, _SHUT_OUT):
                self.login.refused(login["username"])
            self.explain(problem)
        try:
            await understand_text(connection)
        except FAILURES as problem:
            connection.terminate()
            self.explain(problem)
        return connection

    @asynccontextmanager
    async def explained(self) -> AsyncIterator[None]:
        """What goes wrong inside is raised as what it means."""
        try:
            yield
        except FAILURES as problem:
            if self.login is not None and isinstance(problem, _AS_IF_GONE):
                await self._look_again(problem)
            self.explain(problem)

    async def _look_again(self, said: Exception) -> None:
        """Raises Unavailable: who got in is let in no longer; or who gets in now finds what is said to be gone."""
        connection = await self.connect()
        try:
            there = await connection.fetchval("SELECT to_regclass('position') IS NOT NULL")
        except FAILURES as problem:
            self.explain(problem)
        finally:
            connection.terminate()
        if there and isinstance(said, _GONE):
            why = "the ledger's database cannot be used: its connection saw no tables any more; others do"
            raise Unavailable("STORE_UNREACHABLE", why, database=self.name)

    def explain(self, problem: Exception) -> NoReturn:
        """Raise what an error means to the ledger.

        Raises:
            LedgerDiverged: the database is damaged, or holds what the ledger has not written.
            Unavailable: anything that may pass, or that whoever runs the database can mend.
        """
        raise self.fault_of(problem) from problem

    def fault_of(self, problem: Exception) -> Fault:
        said = _said(problem)
        if isinstance(problem, _DAMAGED):
            return LedgerDiverged(f"the database {self.name} is damaged: {said}; drop it and it is rebuilt")
        if isinstance(problem, _NOT_OURS):
            return LedgerDiverged(f"the database {self.name} holds what the ledger did not write: {said}")
        if isinstance(problem, _GONE):
            return LedgerDiverged(f"the ledger's tables in {self.name} are gone ({said}): restart the ledger")
        why = f"the ledger's database cannot be used: {said}"
        return Unavailable("STORE_UNREACHABLE", why, database=self.name)

    @property
    def password(self) -> str | None:
        """What stands in the file; None when it stands in the URL, or nowhere."""
        return None if self.password_file is None else self.password_file.read_text().strip()


async def understand_text(connection: Connection) -> None:
    """Let text through that PostgreSQL could not keep."""
    for name in ("text", "varchar"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=text.encode, decoder=text.decode, format="binary"
        )


def _said(problem: Exception) -> str:
    if isinstance(problem, asyncpg.PostgresError):
        said = problem.args[0] if problem.args else type(problem).__name__
        detail = f", {problem.detail}" if isinstance(problem, asyncpg.UniqueViolationError) else ""
        return f"{said}{detail} (SQLSTATE {problem.sqlstate})"
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    if isinstance(problem, ValueError | OverflowError) and not isinstance(problem, OSError):
        # Its own text may show the password.
        return "its URL is none: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / in them as %40 %3A %2F"
    return str(problem) or type(problem).__name__
