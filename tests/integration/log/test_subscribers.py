"""Subscribers on NATS itself: a tenant's see all of it and nothing else, and can change nothing, whatever they try."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from nats.js.errors import NotFoundError

from chassis.embedded.servers import _move_to_account
from chassis.embedded.subscribers import (
    OURS,
    UNNAMED,
    Subscribers,
    accounts,
    ensure_mirrors,
    of_tenants,
    tenants_in,
)
from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream, stream_state
from chassis.eventlog.wire import Connection
from kernel.faults import Invalid
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until
from tests.unit.house.skeleton import REPOSITORY

PASSWORD = "our-own"


@dataclass
class Shared:
    """A server, our connection to it, and acme's subscribers."""

    ours: Connection
    acme: Subscribers
    client: Client
    refused: list[str] = field(default_factory=list)


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    keys = tmp_path / "keys"
    server = NatsServer(tmp_path)
    acme, other = of_tenants(("acme", "other"), keys, "127.0.0.1", server.port)
    server = NatsServer(tmp_path, server.port, accounts(PASSWORD, (acme, other)))
    server.start()
    ours = await connect(f"nats://provost:{PASSWORD}@127.0.0.1:{server.port}", name="test")
    await ensure_stream(ours, max_bytes=64 * 1024**2)
    await call(ours, "STREAM.CREATE.PUBLIC", {"name": "PUBLIC", "subjects": ["pub.>"], "storage": "file"})
    await ensure_mirrors((acme, other), "127.0.0.1", server.port, public=True)
    await ensure_mirrors((acme, other), "127.0.0.1", server.port, public=True)  # as at the next start
    refused: list[str] = []

    async def told(problem: Exception) -> None:
        refused.append(str(problem))

    client = await nats.connect((keys / "acme.url").read_text().strip(), error_cb=told)
    yield Shared(ours, acme, client, refused)
    await client.close()
    await ours.close()
    server.stop()


async def happens(shared: Shared, count: int) -> None:
    """So many events of acme's and of another's, one after the other."""
    for n in range(count):
        for tenant in ("acme", "other"):
            await shared.ours.ask(f"evt.{tenant}.policy.agent.a.AgentRevoked", b"%d" % n)
            await shared.ours.ask(f"pub.{tenant}.policy.agent.a.AgentRevoked", b"{}")


async def mirrored(shared: Shared, count: int) -> None:
    async def there() -> bool:
        info = await shared.client.jetstream().stream_info("EVENTS")
        return bool(info.state.messages == count)

    await until(there, f"the mirror does not have {count} events")


async def test_all_of_ones_own_from_the_first_with_the_logs_sequences(shared: Shared) -> None:
    await happens(shared, 30)
    await mirrored(shared, 30)
    reading = await shared.client.jetstream().subscribe("evt.acme.>", stream="EVENTS", ordered_consumer=True)
    found = [await reading.next_msg(5) for _ in range(30)]
    assert [each.data for each in found] == [b"%d" % n for n in range(30)]
    assert [each.metadata.sequence.stream for each in found] == list(range(1, 60, 2))
    again = await shared.client.jetstream().pull_subscribe(
        "pub.acme.*.agent.>", stream="PUBLIC", config=nats.js.api.ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=3
        )
    )  # fmt: skip
    (message,) = await again.fetch(1, 5)
    assert message.metadata.sequence.stream == 3


async def test_what_is_published_now_comes_as_it_does(shared: Shared) -> None:
    live = await shared.client.subscribe("pub.acme.>")
    await shared.client.flush()
    await happens(shared, 1)
    assert (await live.next_msg(5)).data == b"{}"
    with pytest.raises(nats.errors.TimeoutError):
        await live.next_msg(0.1)  # once, and nothing of the other's


async def test_what_is_not_ones_own_is_refused_and_named(shared: Shared) -> None:
    for subject in ("evt.other.>", "evt.>", "pub.*.policy.>", "key.>", "$SYS.>", ">"):
        await shared.client.subscribe(subject)
    for subject in (
        "evt.acme.policy.agent.a.AgentRevoked",
        "pub.acme.x",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.UPDATE.EVENTS",
        "$JS.API.STREAM.CREATE.MINE",
        "provost.API.CONSUMER.CREATE.EVENTS.x.evt.acme.>",
        "mirror.acme.x",
        "pwr.lost.acme.a",
    ):
        await shared.client.publish(subject, b"{}")
    await until(lambda: len(shared.refused) >= 15, f"only these were refused: {shared.refused}")
    assert all("permissions violation" in each for each in shared.refused)
    assert any('subscription to "evt.other.>"' in each for each in shared.refused)
    with pytest.raises(NotFoundError):
        await shared.client.jetstream().stream_info("KEYS")
    other = await shared.client.jetstream().streams_info()
    assert {each.config.name for each in other} == {"EVENTS", "PUBLIC"}


async def test_answers_sent_elsewhere_do_not_reach_the_log(shared: Shared) -> None:
    await happens(shared, 2)
    await mirrored(shared, 2)
    before = await stream_state(shared.ours)
    config = {"name": "mine", "ack_policy": "none", "deliver_policy": "all", "filter_subject": "evt.acme.>"}
    body = json.dumps({"stream_name": "EVENTS", "config": config, "action": ""}).encode()
    await shared.client.request("$JS.API.CONSUMER.CREATE.EVENTS.mine.evt.acme.>", body)
    for reply in (
        "evt.acme.policy.agent.a.AgentRevoked",
        "evt.other.policy.agent.a.AgentRevoked",
        "pub.other.x",
    ):
        await shared.client.publish("$JS.API.STREAM.INFO.EVENTS", b"", reply=reply)
        await shared.client.publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS.mine", b"1", reply=reply)
        pushed = {**config, "name": f"to-{len(reply)}", "deliver_subject": reply}
        made = json.dumps({"stream_name": "EVENTS", "config": pushed, "action": ""}).encode()
        await shared.client.publish(f"$JS.API.CONSUMER.CREATE.EVENTS.to-{len(reply)}.evt.acme.>", made)
    await shared.client.request(
        "$JS.API.STREAM.INFO.EVENTS", b""
    )  # whatever was asked before has been answered
    await asyncio.gather(*(shared.client.flush() for _ in range(3)))
    assert await stream_state(shared.ours) == before
    assert (await call(shared.ours, "STREAM.INFO.PUBLIC"))["state"]["messages"] == 4


async def test_more_than_a_window_flows(shared: Shared) -> None:
    await asyncio.gather(
        *(shared.ours.ask("evt.acme.policy.agent.a.X", bytes(20_000), timeout_seconds=20) for _ in range(800))
    )
    reading = await shared.client.jetstream().subscribe("evt.acme.>", stream="EVENTS", ordered_consumer=True)
    for _ in range(800):
        await reading.next_msg(10)


def test_passwords_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    (first,) = of_tenants(("acme",), tmp_path, "127.0.0.1", 4222)
    (again,) = of_tenants(("acme",), tmp_path, "127.0.0.1", 4333)
    assert first.password == again.password
    assert first.keeper != again.keeper
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    assert (tmp_path / "acme.url").read_text() == f"nats://subscriber-acme:{first.password}@127.0.0.1:4333\n"


def test_tenants_are_held_to_what_a_subject_can_have() -> None:
    assert tenants_in(" acme, other,acme,") == ("acme", "other")
    with pytest.raises(Invalid):
        tenants_in("acme,*")


def test_what_was_kept_is_there_when_subscribers_come_and_when_they_go(tmp_path: Path) -> None:
    (tmp_path / UNNAMED / "streams").mkdir(parents=True)
    for account, other in ((OURS, UNNAMED), (OURS, UNNAMED), (UNNAMED, OURS)):
        _move_to_account(tmp_path, account)
        assert (tmp_path / account / "streams").is_dir()
        assert not (tmp_path / other).exists()


async def test_a_reader_of_a_cluster_hears_its_tenant_and_says_nothing(tmp_path: Path) -> None:
    template = (REPOSITORY / "deploy" / "nats" / "subscriber.conf.template").read_text()
    user = template.replace("TENANT", "acme").replace("READER", "one")
    ours = f'{{ user: "provost", password: "{PASSWORD}" }}'
    extra = f"authorization {{ users: [ {ours}, {{\n{user}\npassword: one }} ] }}"
    server = NatsServer(tmp_path, extra=extra)
    server.start()
    refused: list[str] = []

    async def told(problem: Exception) -> None:
        refused.append(str(problem))

    log = await connect(f"nats://provost:{PASSWORD}@127.0.0.1:{server.port}", name="test")
    await ensure_stream(log, max_bytes=64 * 1024**2)
    reader = await nats.connect(
        server.url, user="spiffe://provost/subscriber.acme.one", password="one", error_cb=told
    )
    live = await reader.subscribe("evt.acme.>")
    await reader.subscribe("evt.other.>")
    await reader.publish("$JS.API.STREAM.INFO.EVENTS", b"", reply="evt.other.policy.agent.a.AgentRevoked")
    await reader.publish("evt.acme.policy.agent.a.AgentRevoked", b"")
    await until(lambda: len(refused) == 3, f"only these were refused: {refused}")
    await log.ask("evt.acme.policy.agent.a.AgentRevoked", b"1")
    assert (await live.next_msg(5)).data == b"1"
    assert (await stream_state(log)).last == 1
    await reader.close()
    await log.close()
    server.stop()
