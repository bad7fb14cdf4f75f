"""`deploy/nats/users.conf` on a real server: each service is known by its certificate and may do just what it needs.

That it may do all it needs is shown by the whole system, in `tests/e2e/test_encrypted.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.backup.streams import restore, take
from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream, read_last, stream_state
from chassis.eventlog.wire import AnswerLost, Connection
from chassis.tls.certificates import Certificates
from chassis.tls.contexts import client_context
from kernel.events import Recorded
from kernel.faults import Unavailable
from tests.fakes.certificates import Issued
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until

USERS = Path(__file__).parents[3] / "deploy" / "nats"
SERVICES = ("policy", "state", "ledger", "orchestrator", "actuators", "gateway")
READER = "subscriber.acme.reader"
EVENT = "evt.acme.{}.thing.a.Happened"
_TLS = """
tls {{ cert_file: "{0}/nats/tls.crt", key_file: "{0}/nats/tls.key", ca_file: "{0}/ca.crt", verify_and_map: true }}
include "users.conf"
"""


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("ca")).issue("nats", "agents", "operator", READER, *SERVICES)


@pytest.fixture(scope="module")
def server(issued: Issued, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    directory = tmp_path_factory.mktemp("nats")
    reader = (USERS / "subscriber.conf.template").read_text()
    (directory / "acme.conf").write_text(reader.replace("TENANT", "acme").replace("READER", "reader"))
    users, before = (USERS / "users.conf").read_text(), "# { include"
    assert before in users
    (directory / "users.conf").write_text(users.replace(before, '{ include "acme.conf" }\n' + before))
    running = NatsServer(directory, extra=_TLS.format(issued.directory))
    running.start()
    yield running
    running.stop()


async def connected(server: NatsServer, issued: Issued, name: str, inbox: str = "") -> Connection:
    return await connect(
        server.url.replace("nats://", "tls://"),
        name=name,
        tls=client_context(Certificates(*issued.files(name))),
        inbox_prefix=f"_INBOX.{inbox or name}",
        timeout_seconds=5.0,
    )


@pytest_asyncio.fixture
async def ledger(server: NatsServer, issued: Issued) -> AsyncIterator[Connection]:
    given = await connected(server, issued, "ledger")
    await ensure_stream(given, max_bytes=64 * 1024**2)
    yield given
    await given.close()


class Violations:
    """What the server tells a client that it may not."""

    def __init__(self, connection: Connection) -> None:
        self.told: list[str] = []
        connection._error_cb = self._take

    async def _take(self, problem: Exception) -> None:
        self.told.append(str(problem))


@pytest.mark.parametrize("service", SERVICES)
async def test_fault_31_what_a_service_has_no_business_with_is_refused_by_nats(
    server: NatsServer, issued: Issued, ledger: Connection, service: str
) -> None:
    own = await connected(server, issued, service)
    before = (await stream_state(own)).last
    answer = json.loads((await own.ask(EVENT.format(service), b"1"))[1])
    assert answer["seq"] == before + 1, answer
    refused = Violations(own)
    others = [each for each in SERVICES if each != service]
    subjects = [
        *(EVENT.format(each) for each in others),
        "$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.MSG.DELETE.EVENTS",
        "$JS.API.STREAM.DELETE.KEYS", "$JS.API.STREAM.PURGE.KEYS", "$JS.API.STREAM.RESTORE.EVENTS",
        "$JS.API.STREAM.CREATE.MINE", f"pwr.here.{others[0]}.x", "$SYS.REQ.SERVER.PING",
        *([] if service == "ledger" else ["repair.evt.a", "$JS.API.STREAM.UPDATE.EVENTS", "pub.acme.a"]),
        *([] if service == "ledger" else ["$JS.API.STREAM.MSG.DELETE.KEYS"]),
        *([] if service == "state" else ["$O.ARTIFACTS.C.a", "$JS.API.STREAM.PURGE.OBJ_ARTIFACTS"]),
    ]  # fmt: skip
    for subject in subjects:
        own.write(subject, b"", b"", b"")
    await own.subscribe("evt.>")
    await own.subscribe(f"_INBOX.{others[0]}.>")
    await own.flush()
    await until(lambda: len(refused.told) == len(subjects) + 2, f"all is refused: {refused.told}")
    told = "\n".join(refused.told).lower()
    assert [each for each in (*subjects, "evt.>") if f'"{each.lower()}"' not in told] == []
    assert (await stream_state(own)).last == before + 1
    await own.close()


async def test_one_who_looks_after_it_by_hand_cannot_take_the_log_away(
    server: NatsServer, issued: Issued, ledger: Connection
) -> None:
    operator = await connected(server, issued, "operator")
    refused = Violations(operator)
    names = json.loads((await operator.ask("$JS.API.STREAM.NAMES"))[1])
    assert "EVENTS" in names["streams"]
    before = (await stream_state(operator)).last
    subjects = [
        *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("DELETE", "PURGE", "MSG.DELETE")
          for stream in ("EVENTS", "KEYS", "OBJ_ARTIFACTS")),
        *(f"$JS.API.STREAM.UPDATE.{stream}" for stream in ("EVENTS", "KEYS", "OBJ_ARTIFACTS", "PUBLIC")),
        "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.RESTORE.MINE",
        EVENT.format("policy"), f"repair.{EVENT.format('policy')}", "key.acme.a", "pub.acme.policy.thing.a.Happened",
        "pwr.here.policy.x", "pwr.lost.a.b", "orc.a", "$O.ARTIFACTS.C.a", "$O.SNAPSHOTS.M.a", "_INBOX.policy.a",
    ]  # fmt: skip
    for subject in subjects:
        operator.write(subject, b"", b"", b"{}")
    await operator.flush()
    await until(lambda: len(refused.told) == len(subjects), f"all is refused: {refused.told}")
    told = "\n".join(refused.told).lower()
    assert [each for each in subjects if f'"{each.lower()}"' not in told] == []
    assert (await stream_state(operator)).last == before
    await operator.close()


async def test_one_who_looks_after_it_takes_a_copy_and_restores_it(
    server: NatsServer, issued: Issued, ledger: Connection, tmp_path: Path
) -> None:
    await ledger.ask(EVENT.format("ledger"), b"kept")
    operator = await connected(server, issued, "operator")
    taken = await take(operator, "EVENTS", tmp_path / "copy")
    await operator.close()
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "users.conf").write_text((USERS / "users.conf").read_text())
    elsewhere = NatsServer(tmp_path / "nats", extra=_TLS.format(issued.directory))
    elsewhere.start()
    try:
        operator = await connected(elsewhere, issued, "operator")
        restored = await restore(operator, "EVENTS", tmp_path / "copy")
        assert (restored["messages"], restored["last_seq"]) == (taken["messages"], taken["last_seq"])
        await operator.close()
        found = await connected(elsewhere, issued, "ledger")
        last = await read_last(found, EVENT.format("ledger"))
        assert last is not None
        assert last.payload == b"kept"
        await found.close()
    finally:
        elsewhere.stop()


async def test_room_for_the_log_is_the_ledgers_to_give(
    server: NatsServer, issued: Issued, ledger: Connection
) -> None:
    operator = await connected(server, issued, "operator")
    config = (await call(operator, "STREAM.INFO.EVENTS"))["config"]
    more = json.dumps(config | {"max_bytes": config["max_bytes"] + 1024**2}).encode()
    with pytest.raises(AnswerLost):
        await operator.ask("$JS.API.STREAM.UPDATE.EVENTS", more, timeout_seconds=0.2)
    assert (await call(operator, "STREAM.INFO.EVENTS"))["config"] == config
    changed = json.loads((await ledger.ask("$JS.API.STREAM.UPDATE.EVENTS", more))[1])
    assert changed["config"]["max_bytes"] == config["max_bytes"] + 1024**2
    await operator.close()


async def test_agents_whose_certificate_names_no_user_are_not_let_in(
    server: NatsServer, issued: Issued
) -> None:
    with pytest.raises(Unavailable, match=r"(?i)could not connect to NATS at 127.0.0.1:\d+: .*authorization"):
        await connected(server, issued, "agents")


async def test_without_a_certificate_nobody_is(server: NatsServer) -> None:
    with pytest.raises(Unavailable, match="could not connect to NATS"):
        await connect(server.url, name="nobody", timeout_seconds=2.0)


async def test_a_reader_sees_one_tenants_events_and_is_told_when_it_asks_for_more(
    server: NatsServer, issued: Issued, ledger: Connection
) -> None:
    reader = await connected(server, issued, READER, "acme.reader")
    refused = Violations(reader)
    live = await reader.subscribe("evt.acme.>")
    told = await reader.subscribe("pub.acme.>")
    await reader.flush()
    for subject, payload in ((EVENT, b"ours"), (EVENT.replace("acme", "other"), b"theirs")):
        await ledger.ask(subject.format("ledger"), payload)
    ledger.write("pub.acme.ledger.thing.b.Happened", b"", b"", b"{}")
    await ledger.flush()
    async with asyncio.timeout(10):
        assert (await live.next_msg()).data == b"ours"
        assert (await told.next_msg()).data == b"{}"
    assert refused.told == []

    for subject in ("evt.other.>", "evt.>", ">", "_INBOX.>"):
        await reader.subscribe(subject)
    # Whoever may ask JetStream for anything names the subject that the answer is kept on.
    before = (await stream_state(ledger)).last
    asked = (
        EVENT.format("policy"), "$JS.API.STREAM.INFO.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS.mine",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.mine", "$JS.API.DIRECT.GET.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS",
    )  # fmt: skip
    for subject in asked:
        reader.write(subject, EVENT.format("policy").encode(), b"", b"")
    await reader.flush()
    await until(lambda: len(refused.told) == 4 + len(asked), f"all is refused: {refused.told}")
    assert 'permissions violation for subscription to "evt.other.>"' in "\n".join(refused.told).lower()
    assert (await stream_state(ledger)).last == before
    await reader.close()


async def kept_on(connection: Connection, subject: str, *, behind: int = 0) -> Recorded:
    """The message that comes there; that none does would mean that nats-server refuses it now."""
    async with asyncio.timeout(10):
        while (kept := await read_last(connection, subject)) is None or kept.sequence <= behind:
            await connection.flush()
    return kept


async def test_an_answer_of_jetstream_kept_on_anothers_subject_is_no_event(
    server: NatsServer, issued: Issued, ledger: Connection
) -> None:
    """What nats-server does not refuse (2.15.1): whoever reads the log has to know such a message for what it is."""
    state = await connected(server, issued, "state")
    revoked = "evt.acme.policy.agent.{}.AgentRevoked"
    state.write("$JS.API.STREAM.INFO.EVENTS", revoked.format("a").encode(), b"", b"")
    state.write(EVENT.format("state"), revoked.format("b").encode(), b"", b"1")
    await state.flush()
    for key in ("a", "b"):
        assert not (await kept_on(ledger, revoked.format(key))).headers
    # A consumer's messages are kept, too, but on the subjects they had, and as they were: copies.
    config = {"name": "copier", "filter_subject": revoked.format("a"), "ack_policy": "none"}
    body = json.dumps({"stream_name": "EVENTS", "config": config})
    await state.ask("$JS.API.CONSUMER.CREATE.EVENTS.copier", body.encode())
    before = (await stream_state(ledger)).last
    state.write("$JS.API.CONSUMER.MSG.NEXT.EVENTS.copier", revoked.format("c").encode(), b"", b"1")
    await state.flush()
    copied = await kept_on(ledger, revoked.format("a"), behind=before)
    assert (copied.sequence, copied.headers) == (before + 1, {})
    assert await read_last(ledger, revoked.format("c")) is None
    await state.close()
