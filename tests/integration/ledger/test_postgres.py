"""The ledger on PostgreSQL: two replicas, kills, no room, rights, and changing from one database to the other."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Message
from tests.fakes.nats_server import NatsServer
from tests.fakes.postgres_server import PostgresServer, new_database, postgres_server, postgres_url
from tests.fakes.wait import until
from tests.integration.ledger.process import LedgerProcess, publish
from tests.unit.ledger.story import plains, run

__all__ = ["postgres_server", "postgres_url"]

SECRET = "do-not-show-this"
URL = "PROVOST_LEDGER_DATABASE_URL"


@pytest_asyncio.fixture
async def prepared(postgres_server: PostgresServer) -> str:
    """A database made ready by the command; the URL of the ledger's own role, without a password."""
    url = await new_database(postgres_server)
    prepare(url, ledgers_url(url))
    return ledgers_url(url)


def ledgers_url(admin: str, password: str = f":{SECRET}") -> str:
    parts = urlsplit(admin)
    return f"postgresql://ledger_of{parts.path.replace('/', '_')}{password}@{parts.hostname}:{parts.port}{parts.path}"


def prepare(admin: str, own: str) -> str:
    command = [sys.executable, "-m", "services.ledger.adapters.postgres", "--admin", admin]
    done = subprocess.run(
        command, env={**os.environ, URL: own}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def on_postgres(
    tmp_path: Path, nats_server: NatsServer, events: object, prepared: str
) -> Iterator[LedgerProcess]:
    ledger = LedgerProcess(tmp_path, nats_server.url, **{URL: prepared})
    ledger.start()
    yield ledger
    ledger.stop()
    assert SECRET not in ledger.log.read_text()


@pytest_asyncio.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """One that may be killed."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()
    server.remove()


async def reached(ledger: LedgerProcess, sequence: int) -> None:
    await ledger.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=sequence, timeout_seconds=20))


async def head_over(ledger: LedgerProcess, sequence: int) -> pb.TreeHead:
    answer = await ledger.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=sequence))
    assert isinstance(answer.tree_head, pb.TreeHead)
    return answer.tree_head


async def is_whole(ledger: LedgerProcess) -> None:
    answer = await ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert answer.ok, answer


async def rows(url: str) -> int:
    db = await asyncpg.connect(url)
    try:
        counted = await db.fetchrow(
            "SELECT count(*), min(sequence), max(sequence) FROM provost_ledger.events"
        )
    finally:
        await db.close()
    count, first, last = counted
    assert count == (last - first + 1 if count else 0), "a row is missing, or there twice"
    return int(count)


async def has_rows(url: str, count: int) -> bool:
    return await rows(url) >= count


async def test_from_one_database_to_the_other_and_back_is_the_same_root(
    tmp_path: Path, nats_server: NatsServer, events: Connection, prepared: str
) -> None:
    heads = []
    last = await publish(events, [*plains(600), *run(first=601)])
    for settings in ({}, {URL: prepared}, {}):
        ledger = LedgerProcess(tmp_path, nats_server.url, **settings)
        ledger.start()
        try:
            head = await head_over(ledger, last)
            heads.append((head.tree_size, head.root_hash, head.checkpoint))
            actions = await ledger.ask("ListAgentActions", pb.ListAgentActionsRequest())
            assert [each.success for each in actions.actions] == [False, True]
            await is_whole(ledger)
        finally:
            ledger.stop()
        last = await publish(events, plains(50, first=last + 1)) if len(heads) == 2 else last
    assert heads[0] == heads[1]
    assert heads[2][0] == heads[1][0] + 50
    assert await rows(prepared) == 609


async def test_its_role_can_neither_change_nor_remove(
    on_postgres: LedgerProcess, events: Connection, prepared: str
) -> None:
    last = await publish(events, plains(300))
    await head_over(on_postgres, last)
    assert "owns its tables" not in on_postgres.log.read_text()
    db = await asyncpg.connect(prepared, server_settings={"search_path": "provost_ledger"})
    try:
        for table in ("events", "event_ids", "tiles", "postings", "spans", "heads"):
            for statement in (
                f"UPDATE {table} SET {'size' if table == 'heads' else 'ctid'} = NULL",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            ):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
                    await db.execute(statement)
        for statement in ("TRUNCATE position", "DELETE FROM runs", "DROP SCHEMA provost_ledger CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(statement)
    finally:
        await db.close()
    *_, rebuilt = await on_postgres.ask_all("RebuildLedger", pb.RebuildLedgerRequest())
    assert rebuilt.swapped, rebuilt
    await is_whole(on_postgres)


@pytest.mark.parametrize("damage", ["DELETE FROM position", "DELETE FROM events WHERE sequence > 290"])
async def test_a_book_that_does_not_add_up_any_more_is_rebuilt(
    on_postgres: LedgerProcess,
    events: Connection,
    postgres_server: PostgresServer,
    prepared: str,
    damage: str,
) -> None:
    last = await publish(events, plains(300))
    await head_over(on_postgres, last)
    on_postgres.stop()
    owner = await asyncpg.connect(postgres_server.url(urlsplit(prepared).path.strip("/")))
    try:
        await owner.execute("SET search_path = provost_ledger")
        await owner.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await owner.execute(damage)
        await owner.execute("ALTER TABLE events ENABLE TRIGGER ALL")
    finally:
        await owner.close()
    on_postgres.expected_to_serve = False
    on_postgres.start()
    await until(lambda: "ledger stopped" in on_postgres.log.read_text(), "it does not notice")
    reports = await on_postgres.ask_all("RebuildLedger", pb.RebuildLedgerRequest(), timeout_seconds=60)
    assert reports[-1].swapped
    await until(on_postgres.serving, "it does not go on")
    await is_whole(on_postgres)


async def test_the_command_may_be_repeated_and_its_password_works_from_a_file(
    tmp_path: Path, nats_server: NatsServer, events: Connection, postgres_server: PostgresServer
) -> None:
    url = await new_database(postgres_server)
    for _ in range(2):
        assert "is ready" in prepare(url, ledgers_url(url))
    await publish(events, plains(20))
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    settings = {URL: ledgers_url(url, ""), "PROVOST_LEDGER_DATABASE_PASSWORD_FILE": str(file)}
    ledger = LedgerProcess(tmp_path, nats_server.url, **settings)
    ledger.start()
    try:
        await reached(ledger, 20)
    finally:
        ledger.stop()


async def test_what_the_ledger_made_itself_is_taken_from_it_by_the_command(
    tmp_path: Path, nats_server: NatsServer, events: Connection, postgres_server: PostgresServer
) -> None:
    url = await new_database(postgres_server)
    own = ledgers_url(url)
    role, database = urlsplit(own).username, urlsplit(url).path.strip("/")
    admin = await asyncpg.connect(url)
    await admin.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'; GRANT CREATE ON DATABASE {database} TO {role}"
    )
    last = await publish(events, plains(300))
    ledger = LedgerProcess(tmp_path, nats_server.url, **{URL: own})
    ledger.start()
    head = await head_over(ledger, last)
    ledger.stop()
    assert ledger.log.read_text().count("owns its tables") == 1
    prepare(url, own)
    newest = "SELECT note FROM provost_ledger.heads ORDER BY size DESC LIMIT 1"
    assert await admin.fetchval(newest) == head.checkpoint
    await admin.close()
    said = len(ledger.log.read_text())
    ledger.start()
    try:
        assert (await head_over(ledger, last)).checkpoint == head.checkpoint
        assert "owns its tables" not in ledger.log.read_text()[said:]
    finally:
        ledger.stop()


async def test_a_database_that_is_not_prepared_is_asked_for(
    tmp_path: Path, nats_server: NatsServer, events: Connection, postgres_server: PostgresServer
) -> None:
    other, url = await new_database(postgres_server), await new_database(postgres_server)
    prepare(other, ledgers_url(other))
    own = ledgers_url(other).rpartition("/")[0] + urlsplit(url).path
    ledger = LedgerProcess(tmp_path, nats_server.url, **{URL: own})
    ledger.expected_to_serve = False
    ledger.start()
    try:
        await until(lambda: "is not prepared" in ledger.log.read_text(), "nothing was said of it")
        assert "python -m services.ledger.adapters.postgres --admin URL" in ledger.log.read_text()
        prepare(url, own)
        await publish(events, plains(5))
        await until(ledger.serving, "it does not begin once the database is ready")
        await reached(ledger, 5)
    finally:
        ledger.stop()
    assert SECRET not in ledger.log.read_text()


async def test_of_two_replicas_one_writes_and_the_other_takes_over(
    tmp_path: Path, nats_server: NatsServer, events: Connection, prepared: str
) -> None:
    replicas = []
    for name in ("one", "other"):
        home = tmp_path / name
        home.mkdir()
        replicas.append(LedgerProcess(home, nats_server.url, **{URL: prepared}))
    one, other = replicas
    one.start()
    # The same log has the same key.
    (other.home / "keys").mkdir(mode=0o700)
    (other.home / "keys" / "ledger.key").write_bytes((one.home / "keys" / "ledger.key").read_bytes())
    (other.home / "keys" / "ledger.key").chmod(0o600)
    other.start()
    try:
        for kill in range(4):
            first = kill * 400 + 1
            publishing = asyncio.create_task(publish(events, plains(400, first=first)))
            await until(partial(has_rows, prepared, first + 60), "nobody writes")
            one.kill()
            last = await publishing
            await reached(other, last)
            one.start()
            await reached(one, last)
            one, other = other, one
        assert await rows(prepared) == 1600
        for each in (one, other):
            assert (await head_over(each, 1600)).tree_size == 1600
            await is_whole(each)
    finally:
        one.stop()
        other.stop()


async def test_it_survives_its_database_killed_under_load(
    tmp_path: Path, nats_server: NatsServer, events: Connection, own_server: PostgresServer
) -> None:
    url = await new_database(own_server)
    ledger = LedgerProcess(tmp_path, nats_server.url, **{URL: url})
    ledger.start()
    try:
        for kill in range(3):
            first = kill * 1500 + 1
            publishing = asyncio.create_task(publish(events, plains(1500, first=first)))
            await until(partial(has_rows, url, first + 100), "the ledger does not go on")
            own_server.kill()
            last = await publishing
            await until(lambda: not ledger.serving(), "it says that it is well")
            own_server.start()
            await reached(ledger, last)
            await until(ledger.serving, "it does not recover")
        assert await rows(url) == 4500
        await is_whole(ledger)
    finally:
        ledger.stop()


async def test_short_of_room_it_waits_and_goes_on(
    tmp_path: Path, nats_server: NatsServer, events: Connection, own_server: PostgresServer
) -> None:
    url = await new_database(own_server)
    ledger = LedgerProcess(tmp_path, nats_server.url, **{URL: url})
    ledger.start()
    try:
        heavy = [Message(0, each.subject, each.header, os.urandom(20_000)) for each in plains(1500)]
        await publish(events, heavy[:1000])
        await reached(ledger, 1000)
        await limit_file_size(
            own_server, url, 24 * 1024**2
        )  # more than a segment of its log has: only tables feel it
        await publish(events, heavy[1000:])
        await until(lambda: "File too large" in ledger.log.read_text(), "nothing was said of it")
        assert "PANIC" not in (own_server.directory / "log").read_text()
        await until(lambda: not ledger.serving(), "it says that it is well")
        assert 1000 <= await rows(url) < 1500
        await limit_file_size(own_server, url, None)
        await reached(ledger, 1500)
        await until(ledger.serving, "it does not recover")
        await is_whole(ledger)
    finally:
        ledger.stop()


async def limit_file_size(server: PostgresServer, url: str, n_bytes: int | None) -> None:
    """Let no file that the ledger's sessions write grow past `n_bytes`: what a full disk looks like to them."""
    db = await asyncpg.connect(url)
    sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'provost-ledger'"
    for (pid,) in await db.fetch(sessions):
        server.limit_file_size(pid, n_bytes)
    await db.close()
