"""Making the ledger's database ready: once by whoever owns it, or by the ledger itself where it has only one role."""

import base64
import hashlib
import hmac
import os
from urllib.parse import unquote, urlsplit

from kernel.faults import Unavailable
from services.ledger.adapters.postgres.connection import Connection, Database
from services.ledger.adapters.postgres.definition import DRAFT, KEEPER, LIVE, OLD, statements, version

OWNER = "provost_ledger_owner"
COMMAND = "python -m services.ledger.adapters.postgres --admin URL"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('provost ledger is prepared'))"
_OWNER = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1"
_SCRAM_ROUNDS = 4096


async def found_version(connection: Connection) -> str | None:
    """What version the database is made for; None when it is not made yet. As any role."""
    there = await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", KEEPER)
    return await connection.fetchval(f"SELECT {KEEPER}.version()") if there else None


async def owns(connection: Connection) -> bool:
    """Whether this role could do to the book what only its owner may."""
    query = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $1"
    return bool(await connection.fetchval(query, LIVE))


async def prepare(connection: Connection, role: str, owner: str | None = None) -> None:
    """Make everything, unless this version of it is there; what another version has made is made anew, its heads kept.

    All or nothing. Runs as `owner`, which the connection's role must be a member of, or as that role itself.
    """
    ours = version()
    async with connection.transaction():
        await connection.execute(_LOCK)
        owned_by = await connection.fetchval(_OWNER, KEEPER)
        if await found_version(connection) == ours and owner in {None, owned_by}:
            return
        heads = await _heads(connection)
        await connection.execute("SET LOCAL client_min_messages = warning")
        for each in (DRAFT, OLD, LIVE, KEEPER):
            await connection.execute(f"DROP SCHEMA IF EXISTS {each} CASCADE")
        if owner is not None:
            await connection.execute(f"SET LOCAL ROLE {_quoted(owner)}")
        await connection.execute(statements(_quoted(role), ours))
        await connection.executemany(f"INSERT INTO {LIVE}.heads VALUES ($1, $2, $3, $4)", heads)  # noqa: S608


async def prepare_roles(admin: Connection, database: Database) -> str:
    """Make the owner and the ledger's role as the database's URL names it, if they are not there; the latter's name.

    The password is sent as what PostgreSQL stores of it (SCRAM-SHA-256, RFC 5803), so that no log of it can show it.

    Raises:
        Unavailable: the URL names no role.
    """
    parts = urlsplit(database.url)
    role = unquote(parts.username or "")
    if not role:
        raise Unavailable(
            "STORE_UNREACHABLE", "PROVOST_LEDGER_DATABASE_URL names no user to be the ledger's role"
        )
    password = database.password or unquote(parts.password or "")
    for name, login in ((OWNER, False), (role, True)):
        if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            secret = f" PASSWORD '{_verifier(password)}'" if login and password else ""
            kind = "LOGIN" if login else "NOLOGIN"
            await admin.execute(
                f"CREATE ROLE {_quoted(name)} {kind} NOSUPERUSER NOCREATEDB NOCREATEROLE{secret}"
            )
    if not await admin.fetchval("SELECT pg_has_role($1, 'MEMBER')", OWNER):
        await admin.execute(f"GRANT {OWNER} TO CURRENT_USER")
    where = _quoted(await admin.fetchval("SELECT current_database()"))
    await admin.execute(f"GRANT CREATE ON DATABASE {where} TO {OWNER}")
    await admin.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {where} TO {_quoted(role)}")
    return role


async def _heads(connection: Connection) -> list[tuple[object, ...]]:
    """Those that are kept: they are what a database that is made anew is held against."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{LIVE}.heads"):
        return []
    return [tuple(row) for row in await connection.fetch(f"SELECT * FROM {LIVE}.heads")]  # noqa: S608


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _verifier(password: str) -> str:
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{shown[0]}${shown[1]}:{shown[2]}"
