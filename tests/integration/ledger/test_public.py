"""The log's public form: every event once, in order, whoever publishes and whoever is killed meanwhile."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from chassis import process
from chassis.eventlog.api import call, message_of
from chassis.eventlog.connection import connect
from chassis.eventlog.headers import Headers, block
from chassis.eventlog.wire import Connection
from services.ledger.adapters import public
from services.ledger.adapters.public import PUBLIC, SEQUENCE, Publisher
from services.ledger.wire.cloudevents import cloudevent
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest_asyncio.fixture
async def log(events: Connection, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """A log with nothing in it, and nothing public yet."""
    monkeypatch.setattr(public, "STAND_BY_SECONDS", 0.05)
    await call(events, f"STREAM.DELETE.{PUBLIC}")
    yield events
    await call(events, f"STREAM.DELETE.{PUBLIC}")


async def happens(log: Connection, count: int, kind: str = "provost.policy.v1.AgentRevoked") -> None:
    """So many events of one kind, each with its own id."""
    payload = (GOLDEN / kind / "1.bin").read_bytes()
    context, name = kind.split(".")[1], kind.rpartition(".")[2]
    for _ in range(count):
        lines = f"ce-id: {process.new_id()}\r\nce-type: {kind}\r\nce-source: provost/{context}\r\n"
        lines += "ce-time: 2026-01-02T03:04:05.000006Z\r\nce-subject: agent/a\r\nce-aggver: 1\r\nce-actor: key:x\r\n"
        _, answer = await log.ask(f"evt.acme.{context}.agent.a.{name}", payload, header=block(lines))
        assert "error" not in json.loads(answer)


async def told(log: Connection) -> list[tuple[int, dict[str, Any]]]:
    """Everything public: the sequence in the header, and the CloudEvent."""
    info = await call(log, f"STREAM.INFO.{PUBLIC}")
    found = []
    for sequence in range(1, info.get("state", {}).get("last_seq", 0) + 1):
        message = (await call(log, f"STREAM.MSG.GET.{PUBLIC}", {"seq": sequence}))["message"]
        headers = Headers(base64.b64decode(message["hdrs"]))
        assert headers["content-type"] == "application/cloudevents+json"
        found.append((int(headers[SEQUENCE]), json.loads(base64.b64decode(message["data"]))))
    return found


async def all_told(log: Connection, count: int) -> list[tuple[int, dict[str, Any]]]:
    async def there() -> bool:
        info = await call(log, f"STREAM.INFO.{PUBLIC}")
        return bool(info.get("state", {}).get("messages", 0) >= count)

    await until(there, f"not all of {count} events became public")
    return await told(log)


async def running(connections: Sequence[Connection]) -> list[Publisher]:
    made = [Publisher(each, on=True) for each in connections]
    for each in made:
        await each.start()
    return made


async def test_every_event_is_told_once_as_a_cloudevent(log: Connection) -> None:
    await happens(log, 3)
    (publisher,) = await running([log])
    await happens(log, 200)
    found = await all_told(log, 203)
    await publisher.stop()
    assert [sequence for sequence, _ in found] == list(range(1, 204))
    event = found[0][1]
    assert event["specversion"] == "1.0"
    assert (event["type"], event["source"]) == ("provost.policy.v1.AgentRevoked", "provost/policy")
    assert (event["tenant"], event["logseq"], event["aggver"], event["actor"]) == ("acme", "1", "1", "key:x")
    assert event["datacontenttype"] == "application/json"
    assert event["data"]["agent_id"]


async def test_several_publishers_tell_nothing_twice_and_one_takes_over(
    log: Connection, nats_server: NatsServer
) -> None:
    others = [await connect(nats_server.url, name=f"ledger-{n}") for n in range(3)]
    publishers = await running(others)
    for publisher in publishers:
        await happens(log, 40)
        await asyncio.sleep(0)  # the others notice at their own pace
        await publisher.stop()
    last = Publisher(others[0], on=True)
    await last.start()
    found = await all_told(log, 120)
    await last.stop()
    for each in others:
        await each.close()
    assert [sequence for sequence, _ in found] == list(range(1, 121))


async def test_a_lost_connection_loses_and_repeats_nothing(log: Connection, nats_server: NatsServer) -> None:
    mine = await connect(nats_server.url, name="ledger")
    (publisher,) = await running([mine])
    for _ in range(5):
        await happens(log, 30)
        assert mine._transport is not None
        mine._transport.close()  # type: ignore[no-untyped-call]  # in the middle of whatever it is doing
    found = await all_told(log, 150)
    await publisher.stop()
    await mine.close()
    assert [sequence for sequence, _ in found] == list(range(1, 151))


async def test_what_cannot_be_read_is_told_as_it_came_and_what_is_large_by_reference(log: Connection) -> None:
    for kind, payload in (
        ("provost.policy.v1.Newer", b"\x01\x02"),
        ("provost.policy.v1.Newer", bytes(600_000)),
    ):
        lines = f"ce-id: id-{len(payload)}\r\nce-type: {kind}\r\nce-datacontenttype: application/protobuf\r\n"
        await log.ask("evt.acme.policy.agent.a.Newer", payload, header=block(lines))
    await log.ask("evt.acme.junk", b"junk")
    (publisher,) = await running([log])
    small, large, junk = [event for _, event in await all_told(log, 3)]
    await publisher.stop()
    assert base64.b64decode(small["data_base64"]) == b"\x01\x02"
    assert small["datacontenttype"] == "application/protobuf"
    assert (large["dataref"], "data" in large, "data_base64" in large) == (
        "/api/events/id-600000",
        False,
        False,
    )
    assert (junk["id"], junk["type"], junk["tenant"]) == ("log-3", "provost.Unreadable", "acme")


async def test_a_stream_that_forgot_all_begins_with_what_it_would_still_hold(
    log: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happens(log, 5)
    publisher = Publisher(log, on=True)
    await publisher._ensure_stream()
    assert await publisher._where() == (0, 0)
    later = process.now() + 2 * public.KEPT
    monkeypatch.setattr(process, "now", lambda: later)
    assert await publisher._where() == (5, 0)


async def test_an_error_that_nobody_expected_ends_nothing(
    log: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one in what is told, nor one in where it has come to."""
    raised: list[object] = []
    looked: list[object] = []

    def mistaken(*event: Any) -> bytes:
        if not raised:
            raised.append(event)
            raise ValueError("a mistake of ours")
        return cloudevent(*event)

    def looking(answer: dict[str, Any]) -> dict[str, Any] | None:
        looked.append(answer)
        return message_of(answer)

    monkeypatch.setattr(public, "cloudevent", mistaken)
    await happens(log, 3)
    (publisher,) = await running([log])
    assert [sequence for sequence, _ in await all_told(log, 3)] == [1, 2, 3]
    await publisher.stop()

    monkeypatch.setattr(public, "message_of", looking)
    await log.ask("pub.acme.stranger", b"without a sequence")
    (publisher,) = await running([log])
    await until(lambda: bool(looked), "it has not looked where it is")
    await call(log, f"STREAM.DELETE.{PUBLIC}")
    assert len(await all_told(log, 3)) == 3
    await publisher.stop()


async def test_switched_off_it_makes_no_stream(log: Connection) -> None:
    publisher = Publisher(log, on=False)
    await publisher.start()
    await publisher.stop()
    assert "error" in await call(log, f"STREAM.INFO.{PUBLIC}")
