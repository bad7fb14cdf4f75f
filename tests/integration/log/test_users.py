"""`deploy/nats/users.conf` on a real server: each service is known by its certificate and may do just what it needs.

That it may do all it needs is shown by the whole system, in `tests/e2e/test_encrypted.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream, stream_state
from chassis.eventlog.wire import AnswerLost, Connection
from chassis.tls.certificates import Certificates
from chassis.tls.contexts import client_context
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
    for subject in ("$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS", EVENT.format("policy")):
        with pytest.raises(AnswerLost):
            await operator.ask(subject, timeout_seconds=0.2)
    assert len(refused.told) == 3
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
    await reader.flush()
    await ledger.ask("evt.other.ledger.thing.a.Happened", b"theirs")
    await ledger.ask("evt.acme.ledger.thing.b.Happened", b"ours")
    async with asyncio.timeout(10):
        assert (await live.next_msg()).data == b"ours"

    stream = reader.jetstream()
    consumer = await stream.add_consumer(
        "EVENTS", name="acme:reader", filter_subject="evt.acme.>", ack_policy="none", mem_storage=True
    )
    assert consumer.num_pending
    pulled = await stream.pull_subscribe_bind("acme:reader", "EVENTS")
    found = await pulled.fetch(100, timeout=5)
    assert {each.subject.split(".")[1] for each in found} == {"acme"}
    assert found[-1].data == b"ours"

    # The consumer it may make, with a filter it may not have: the server holds one against the other.
    body = {"stream_name": "EVENTS", "config": {"name": "acme:reader", "filter_subject": "evt.other.>"}}
    asked = "$JS.API.CONSUMER.CREATE.EVENTS.acme:reader.evt.acme.>"
    answer = json.loads((await reader.ask(asked, json.dumps(body).encode()))[1])
    assert "error" in answer, answer
    assert refused.told == []

    for subject in ("evt.other.>", "evt.>", ">"):
        await reader.subscribe(subject)
    for subject in (
        EVENT.format("policy"), "$JS.API.STREAM.INFO.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS.mine.evt.other.>",
        "$JS.API.CONSUMER.CREATE.EVENTS.mine", "$JS.API.DIRECT.GET.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS",
    ):  # fmt: skip
        reader.write(subject, b"", b"", b"")
    await reader.flush()
    await until(lambda: len(refused.told) == 9, f"all is refused: {refused.told}")
    assert 'permissions violation for subscription to "evt.other.>"' in "\n".join(refused.told).lower()
    await reader.close()
