"""What surrounds every method: key, faults, malformed and outsized messages, deadlines, draining."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog.testing
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chassis import metrics
from chassis.config import ServiceSettings
from chassis.rpc import client
from chassis.rpc.cause import INTERNAL_KEY, REQUEST, caller_of, cause_of, metadata_of
from chassis.rpc.faults import PeerFailed, fault_of
from chassis.rpc.server import PortTaken, Server
from kernel.events import Cause
from kernel.faults import AppendConflict, Denied, Exhausted, Fault, Invalid, Unauthenticated, Unavailable
from tests.rpc.chassis.conftest import KEY, Running, settings
from tests.rpc.chassis.echo import SERVICE, Echo, EchoStub, add_echo_to_server

MIB = 1024 * 1024


async def fault_from(call: Any) -> Fault | PeerFailed:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return fault_of(caught.value)


async def test_a_call_arrives_with_its_cause(running: Running, cause: Cause) -> None:
    seen: list[Any] = []

    async def say(request: StringValue, context: Any) -> StringValue:
        seen.extend((cause_of(context, "request-1"), caller_of(context)))
        return request

    running.echo.on_say = say
    answer = await client.call(
        running.stub.Say, StringValue(value="hello"), cause, roles=("operator", "nobody")
    )
    assert answer.value == "hello"
    arrived, caller = seen
    assert (arrived.tenant, arrived.actor, arrived.correlation_id) == ("default", "service:tests", "run-1")
    assert (arrived.causation_id, arrived.request_id) == ("event-1", "request-1")
    assert arrived.at.tzinfo is not None
    assert caller.roles == {"operator"}


async def test_a_request_without_an_id_has_that_of_its_call(running: Running, cause: Cause) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        return StringValue(value=cause_of(context, request.value).request_id)

    running.echo.on_say = say
    carried = (*metadata_of(cause), (INTERNAL_KEY, KEY), (REQUEST, "of-the-call"))
    async with grpc.aio.insecure_channel(running.address) as channel:
        for said, heard in (("", "of-the-call"), ("its-own", "its-own")):
            answer = await EchoStub(channel).Say(StringValue(value=said), metadata=carried)
            assert answer.value == heard


@pytest.mark.parametrize("key", ["", "wrong", "an internal key for test", "ключ"])
async def test_without_the_internal_key_nothing_is_served(running: Running, key: str) -> None:
    metadata = (
        (("x-provost-internal", key),) if key.isascii() else (("x-provost-internal-bin", key.encode()),)
    )
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = EchoStub(channel)
        for call in (
            stub.Say(StringValue(value="x"), metadata=metadata),
            stub.Join(iter(()), metadata=metadata),
        ):
            fault = await fault_from(call)
            assert isinstance(fault, Unauthenticated)
            assert fault.reason == "INTERNAL_KEY_REFUSED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Watch(StringValue(value="x"), metadata=metadata).read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert running.echo.asked == 0


async def test_health_and_reflection_need_no_key(running: Running) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # typed for the other kind of channel
        for service in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflecting: Any = reflection_pb2_grpc.ServerReflectionStub
        listing = reflecting(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        names = {each.name for each in (await listing.read()).list_services_response.service}
    assert names >= {SERVICE, "grpc.health.v1.Health"}


async def test_not_serving_until_told(cause: Cause) -> None:
    server = Server(settings(), "policy", port=0)
    server.add(add_echo_to_server, Echo())
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    await server.stop()
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize(
    "fault",
    [
        Denied("TIER_TOO_LOW", "needs T3", tier="T1"),
        AppendConflict("evt.default.policy.agent.a.*", 7),
        Exhausted("RATE_LIMITED", "slow down", retry_after_seconds="3"),
    ],
)
async def test_faults_cross_as_they_are(running: Running, cause: Cause, fault: Fault) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        raise fault

    running.echo.on_say = say
    with pytest.raises(type(fault)) as caught:
        await client.call(running.stub.Say, StringValue(), cause)
    assert (caught.value.reason, str(caught.value), caught.value.facts) == (
        fault.reason,
        fault.text,
        fault.facts,
    )


async def test_a_bug_shows_no_text(
    running: Running, cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        raise RuntimeError("password is hunter2")

    running.echo.on_say = say
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.Say(StringValue())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    said = f"{caught.value.details()} {caught.value.trailing_metadata()}"
    assert "hunter2" not in said
    assert "RuntimeError" not in said
    with pytest.raises(PeerFailed):
        await client.call(running.stub.Say, StringValue(), cause)


async def test_malformed_messages_are_the_callers_fault(running: Running) -> None:
    broken = b"\x0a\xff\xff\xff\xff\x0f"
    for call in (running.stub.raw("Say")(broken), running.stub.raw("Nest")(b"\x0a")):
        fault = await fault_from(call)
        assert isinstance(fault, Invalid)
        assert fault.reason == "MALFORMED_MESSAGE"
    fault = await fault_from(running.stub.raw_watch(broken).read())
    assert isinstance(fault, Invalid)
    chat = running.stub.raw_chat(iter([StringValue(value="fine").SerializeToString(), broken]))
    assert StringValue.FromString(await chat.read()).value == "fine"
    assert isinstance(await fault_from(chat.read()), Invalid)


async def test_not_utf8_in_a_string_is_malformed(running: Running) -> None:
    fault = await fault_from(running.stub.raw("Say")(b"\x0a\x02\xff\xfe"))
    assert isinstance(fault, Invalid)


def nested(depth: int) -> bytes:
    """A Struct inside a Struct, `depth` times, built from the inside out as no library would let us."""
    inner = b""
    for _ in range(depth):
        value = b"\x2a" + varint(len(inner)) + inner  # Value.struct_value
        entry = b"\x0a\x01a\x12" + varint(len(value)) + value  # map entry: key "a", value
        inner = b"\x0a" + varint(len(entry)) + entry  # Struct.fields
    return inner


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


async def test_deep_nesting_is_refused(running: Running) -> None:
    shallow = nested(10)
    assert "a" in Struct.FromString(shallow).fields
    assert await running.stub.raw("Nest")(shallow)
    fault = await fault_from(running.stub.raw("Nest")(nested(30_000)))
    assert isinstance(fault, Invalid)
    assert fault.reason == "MALFORMED_MESSAGE"


async def test_too_large_a_message_is_refused(running: Running) -> None:
    async with client.channel(running.address, internal_key=KEY, max_message_bytes=64 * MIB) as channel:
        keep = EchoStub(channel).Keep
        assert (await keep(BytesValue(value=b"x" * (4 * MIB - 100)))).value == str(4 * MIB - 100)
        fault = await fault_from(keep(BytesValue(value=b"x" * (5 * MIB))))
    assert isinstance(fault, Exhausted)


async def test_a_compressed_bomb_does_not_go_off(cause: Cause) -> None:
    """64 MiB of zeros travel as 64 KiB; the server, a process of its own, must not unpack them all."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.rpc.chassis.echo", KEY, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        port = int(await child.stdout.readline())
        before = peak_mib(child.pid)
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}",
            compression=grpc.Compression.Gzip,
            options=[("grpc.max_send_message_length", -1)],
        ) as channel:
            stub, metadata = EchoStub(channel), (("x-provost-internal", KEY),)
            assert (await stub.Keep(BytesValue(value=bytes(MIB)), metadata=metadata)).value == str(MIB)
            for _ in range(3):
                fault = await fault_from(stub.Keep(BytesValue(value=bytes(64 * MIB)), metadata=metadata))
                assert isinstance(fault, Exhausted), fault
        grown = peak_mib(child.pid) - before
    finally:
        child.kill()
        await child.wait()
    assert grown < 24, f"the server grew by {grown:.0f} MiB"


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_a_call_without_a_deadline_gets_one() -> None:
    server, echo = Server(settings(shutdown_seconds=1.0), "policy", port=0, unary_seconds=0.05), Echo()

    async def say(request: StringValue, context: Any) -> StringValue:
        await asyncio.Event().wait()
        return request

    echo.on_say = say
    server.add(add_echo_to_server, echo)
    await server.start()
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        fault = await fault_from(EchoStub(channel).Say(StringValue()))
    await server.stop()
    assert (type(fault), fault.reason) == (Unavailable, "DEADLINE_EXCEEDED")  # type: ignore[union-attr]


async def test_a_handlers_own_timeout_is_a_bug_like_any_other(running: Running) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        raise TimeoutError("hunter2")

    running.echo.on_say = say
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.Say(StringValue())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(caught.value.details())


async def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server(settings(), "policy", port=port)
        with pytest.raises(PortTaken, match=rf"{port}.*PROVOST_POLICY_PORT"):
            await server.start()
    await server.stop()


def test_a_server_that_anyone_could_call_is_not_built() -> None:
    with pytest.raises(ValueError, match="PROVOST_INTERNAL_KEY"):
        Server(ServiceSettings(_env_file=None), "policy")


async def test_draining_finishes_calls_and_ends_streams(running: Running, cause: Cause) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def say(request: StringValue, context: Any) -> StringValue:
        entered.set()
        await release.wait()
        return request

    async def watch(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        await asyncio.Event().wait()

    async def watch_with_cursor(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("SHUTTING_DOWN", "go on from the cursor", cursor="42") from None

    running.echo.on_say = say
    running.echo.on_watch = watch
    plain = client.stream(running.stub.Watch, StringValue(value="a"), cause)
    assert (await anext(plain)).value == "first"
    running.echo.on_watch = watch_with_cursor
    with_cursor = client.stream(running.stub.Watch, StringValue(value="b"), cause)
    assert (await anext(with_cursor)).value == "first"
    in_flight = asyncio.ensure_future(client.call(running.stub.Say, StringValue(value="kept"), cause))
    await entered.wait()

    stopping = asyncio.create_task(running.server.stop())
    with pytest.raises(Unavailable) as ended:
        await anext(plain)
    assert ended.value.reason == "SHUTTING_DOWN"
    with pytest.raises(Unavailable) as ended:
        await anext(with_cursor)
    assert ended.value.facts == {"cursor": "42"}
    assert not stopping.done()
    release.set()
    assert (await in_flight).value == "kept"
    await stopping


async def test_a_reader_that_does_not_read_does_not_hold_up_the_stop(cause: Cause) -> None:
    server, echo = Server(settings(shutdown_seconds=60.0), "policy", port=0), Echo()
    written = 0

    async def watch(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        nonlocal written
        while True:
            yield StringValue(value="x" * MIB)
            written += 1

    echo.on_watch = watch
    server.add(add_echo_to_server, echo)
    await server.start()
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        unread = EchoStub(channel).Watch(StringValue(value="go"), metadata=metadata_of(cause))
        await unread.read()
        before = -1
        while before != written:  # until flow control holds it up
            before = written
            await asyncio.sleep(0.1)
        await asyncio.wait_for(server.stop(), 10)
        unread.cancel()


async def test_a_client_that_leaves_cancels_its_call(running: Running, cause: Cause) -> None:
    left, entered = asyncio.Event(), asyncio.Event()

    async def say(request: StringValue, context: Any) -> StringValue:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return request

    running.echo.on_say = say
    call = asyncio.ensure_future(client.call(running.stub.Say, StringValue(), cause))
    await entered.wait()
    call.cancel()
    await asyncio.wait_for(left.wait(), 5)


async def test_that_it_is_ready_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "positions", lambda: {"policy": 41})
    server = Server(settings(), "policy", port=0)
    server.add(add_echo_to_server, Echo())
    with structlog.testing.capture_logs() as said:
        await server.start()
        assert said == []
        for serving in (True, False, True):
            await server.set_serving(serving)
    await server.stop()
    assert [(line["event"], line["log_level"]) for line in said] == [("ready", "info")]
    assert (said[0]["serves"], said[0]["at"]) == ([SERVICE], f"127.0.0.1:{server.port}")
    assert said[0]["followed_to"] == {"policy": 41}
