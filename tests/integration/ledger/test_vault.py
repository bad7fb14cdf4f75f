"""The ledger on PostgreSQL, as a user that a real OpenBao makes for it, renews, replaces and takes away."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest_asyncio

from chassis.eventlog.wire import Connection
from chassis.vault.bootstrap import Postgres
from kernel.faults import Unavailable
from provost.ledger.v1 import ledger_pb2 as pb
from tests.fakes.bao_server import BaoServer
from tests.fakes.nats_server import NatsServer
from tests.fakes.postgres_server import PostgresServer, new_database, postgres_server
from tests.fakes.wait import until
from tests.integration.ledger.process import KEY, LedgerProcess, publish
from tests.integration.ledger.test_postgres import SECRET, ledgers_url, prepare
from tests.unit.ledger.story import plains

__all__ = ["postgres_server"]

TTL_SECONDS, MAX_TTL_SECONDS = 4, 6


@pytest_asyncio.fixture
async def bao(tmp_path: Path) -> AsyncIterator[BaoServer]:
    server = BaoServer(tmp_path / "bao")
    server.initialised()
    yield server
    server.stop()


def told(bao: BaoServer, admin: str) -> dict[str, str]:
    """What the ledger is told: where its database is, and who makes its user there."""
    parts = urlsplit(admin)
    return {
        "PROVOST_INTERNAL_KEY": "",
        "PROVOST_LEDGER_DATABASE_URL": f"postgresql://{parts.hostname}:{parts.port}{parts.path}",
        "PROVOST_LEDGER_DATABASE_ROLE": "ledger",
        "VAULT_URL": bao.url,
        "PROVOST_VAULT_ROLE_ID_FILE": str(bao.roles / "{service}.role-id"),
        "PROVOST_VAULT_SECRET_ID_FILE": str(bao.roles / "{service}.secret-id"),
    }


async def database(server: PostgresServer, bao: BaoServer, ttl: str, max_ttl: str) -> tuple[str, str]:
    """A new one, for whose users Vault is asked: its administrator's address, and the role that they are members of."""
    admin = await new_database(server)
    own = ledgers_url(admin)
    prepare(admin, own)
    role = str(urlsplit(own).username)
    lent = Postgres(admin, role, ttl=ttl, max_ttl=max_ttl)
    await bao.bootstrap({"services/internal": {"key": KEY}}, lent)
    return admin, role


async def users(admin: str, member_of: str) -> set[str]:
    """Who may do what the ledger's role may."""
    connection = await asyncpg.connect(admin)
    try:
        rows = await connection.fetch(
            "SELECT m.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member "
            "JOIN pg_roles g ON g.oid = roleid WHERE g.rolname = $1",
            member_of,
        )
    finally:
        await connection.close()
    return {row["rolname"] for row in rows}


async def at_work(admin: str) -> set[str]:
    """As whom the ledger is connected."""
    connection = await asyncpg.connect(admin)
    try:
        rows = await connection.fetch(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'provost-ledger' "
            "AND datname = current_database()"
        )
    finally:
        await connection.close()
    return {str(row["usename"]) for row in rows}


async def test_its_user_is_made_replaced_and_gone_when_it_ends(
    tmp_path: Path,
    nats_server: NatsServer,
    events: Connection,
    postgres_server: PostgresServer,
    bao: BaoServer,
) -> None:
    ttl, max_ttl = f"{TTL_SECONDS}s", f"{MAX_TTL_SECONDS}s"
    admin, role = await database(postgres_server, bao, ttl, max_ttl)
    ledger = LedgerProcess(tmp_path, nats_server.url, **told(bao, admin))
    ledger.start()
    try:
        first = await users(admin, role)
        assert len(first) == 1
        assert await at_work(admin) == first

        written = 0
        while first & await users(admin, role):
            # It goes on writing and answering while one user is replaced by the next.
            written = await grown(ledger, events, written)
        await grown(ledger, events, written)
        assert not first & await at_work(admin)
        assert await at_work(admin) <= await users(admin, role)
    finally:
        ledger.stop()
    await until(lambda: nobody(admin, role), "its last user is gone with its token")
    assert SECRET not in ledger.log.read_text()


async def test_it_goes_on_when_its_user_is_taken_away(
    tmp_path: Path,
    nats_server: NatsServer,
    events: Connection,
    postgres_server: PostgresServer,
    bao: BaoServer,
) -> None:
    """As whoever runs the Vault takes all leases back: its open connections see no table any more."""
    admin, role = await database(postgres_server, bao, "1h", "24h")
    ledger = LedgerProcess(tmp_path, nats_server.url, **told(bao, admin))
    ledger.start()
    try:
        first = await users(admin, role)
        await grown(ledger, events, 0)
        bao.ask("PUT", "sys/leases/revoke-prefix/database/creds/ledger")
        assert await users(admin, role) == set()
        sequence = await publish(events, plains(20, 21))
        await until(lambda: written(ledger, sequence), "what came then is written")
        assert await at_work(admin) == await users(admin, role) != first
        admins = await asyncpg.connect(admin)
        await admins.execute("DROP SCHEMA provost_ledger CASCADE")
        await admins.close()
        await publish(events, plains(1, 41))
        await until(lambda: "LEDGER_DIVERGED" in ledger.log.read_text(), "tables that are gone are told")
    finally:
        ledger.stop()


async def written(ledger: LedgerProcess, sequence: int) -> bool:
    try:
        await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
    except Unavailable:
        return False
    return True


async def grown(ledger: LedgerProcess, events: Connection, written: int) -> int:
    """20 events more, which the ledger has; how many those are together."""
    sequence = await publish(events, plains(20, written + 1))
    await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
    return written + 20


async def nobody(admin: str, role: str) -> bool:
    return not await users(admin, role)
