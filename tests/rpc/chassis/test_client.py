"""The client: retries, deadlines, peers that come and go, streams, traces across calls."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis.rpc import client
from chassis.rpc.cause import caller_of, metadata_of
from chassis.rpc.faults import PeerFailed, answer_of, fault_of
from chassis.rpc.server import Server
from kernel.events import Cause
from kernel.faults import (
    Conflict,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from tests.fakes.process import free_port
from tests.fakes.wait import until
from tests.rpc.chassis.conftest import KEY, Running, settings
from tests.rpc.chassis.echo import Echo, EchoStub, add_echo_to_server


async def serving(port: int, echo: Echo) -> Server:
    server = Server(settings(shutdown_seconds=1.0), "policy", port=port)
    server.add(add_echo_to_server, echo)
    await server.start()
    await server.set_serving(True)
    return server


async def test_unavailable_is_tried_again(running: Running, cause: Cause) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        if running.echo.asked < 3:
            raise Unavailable("FOLLOWER_BEHIND", "in a moment")
        return request

    running.echo.on_say = say
    assert (await client.call(running.stub.Say, StringValue(value="x"), cause)).value == "x"
    assert running.echo.asked == 3


async def test_nothing_else_is_tried_again(running: Running, cause: Cause) -> None:
    for fault in (
        Refused("RUN_ENDED", "over"),
        Exhausted("RATE_LIMITED", "slow"),
        Conflict("AGENT_X", "taken"),
    ):

        async def say(request: StringValue, context: Any, fault: Fault = fault) -> StringValue:
            raise fault

        running.echo.asked, running.echo.on_say = 0, say
        with pytest.raises(type(fault)):
            await client.call(running.stub.Say, StringValue(), cause)
        assert running.echo.asked == 1


async def test_a_peer_that_starts_later_is_waited_for(cause: Cause) -> None:
    port = free_port()
    async with client.channel(f"127.0.0.1:{port}", internal_key=KEY) as channel:
        asked = asyncio.ensure_future(client.call(EchoStub(channel).Say, StringValue(value="x"), cause))
        while channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await asyncio.wait_for(channel.wait_for_state_change(channel.get_state()), 5)
        server = await serving(port, Echo())
        assert (await asked).value == "x"
        await server.stop()


async def test_a_restart_under_load_fails_no_call(cause: Cause) -> None:
    """Fault 18 and 19: every call is answered once the server is back."""
    port, failed, done = free_port(), [], 0
    server = await serving(port, Echo())
    ending = asyncio.Event()
    async with client.channel(f"127.0.0.1:{port}", internal_key=KEY) as channel:
        stub = EchoStub(channel)

        async def caller() -> None:
            nonlocal done
            while not ending.is_set():
                try:
                    await client.call(stub.Say, StringValue(value="x"), cause)
                    done += 1
                except Fault as fault:
                    failed.append(repr(fault))

        callers = [asyncio.create_task(caller()) for _ in range(8)]
        for _ in range(3):
            before = done
            await until(lambda: done >= before + 100, "calls are not answered again")  # noqa: B023
            await server.stop()
            server = await serving(port, Echo())
        ending.set()
        await asyncio.gather(*callers)
    await server.stop()
    assert not failed


async def test_a_peer_that_is_not_there_can_fail_at_once(cause: Cause) -> None:
    async with client.channel(f"127.0.0.1:{free_port()}", internal_key=KEY) as channel:
        with pytest.raises(Unavailable) as caught:
            await client.call(EchoStub(channel).Say, StringValue(), cause, 10.0, wait_for_ready=False)
    assert caught.value.reason == "PEER_UNREACHABLE"


async def test_a_deadline_holds(running: Running, cause: Cause) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        await asyncio.Event().wait()
        return request

    running.echo.on_say = say
    with pytest.raises(Unavailable) as caught:
        await client.call(running.stub.Say, StringValue(), cause, 0.05)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_answers_too_large_are_refused(running: Running, cause: Cause) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        return StringValue(value="x" * 5_000_000)

    running.echo.on_say = say
    with pytest.raises(Exhausted) as caught:
        await client.call(running.stub.Say, StringValue(), cause)
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_streams_map_faults_and_end_early(running: Running, cause: Cause) -> None:
    answers = [
        each.value async for each in client.stream(running.stub.Watch, StringValue(value="abc"), cause)
    ]
    assert answers == ["a", "b", "c"]
    left = asyncio.Event()

    async def watch(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield StringValue(value="first")
            if request.value == "fail":
                raise NotFound("RUN_UNKNOWN", "no such run", run_id="7")
            await asyncio.Event().wait()
        finally:
            left.set()

    running.echo.on_watch = watch
    failing = client.stream(running.stub.Watch, StringValue(value="fail"), cause)
    assert (await anext(failing)).value == "first"
    with pytest.raises(NotFound) as caught:
        await anext(failing)
    assert caught.value.facts == {"run_id": "7"}
    left.clear()
    endless = client.stream(running.stub.Watch, StringValue(value="go"), cause)
    assert (await anext(endless)).value == "first"
    await endless.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(left.wait(), 5)


async def test_several_replicas_share_the_calls(cause: Cause) -> None:
    echoes = [Echo(), Echo()]
    servers = [await serving(0, echo) for echo in echoes]
    address = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    async with client.channel(address, internal_key=KEY) as channel:
        stub = EchoStub(channel)
        for _ in range(20):
            await client.call(stub.Say, StringValue(value="x"), cause)
            await asyncio.wait_for(until_all_connected(channel), 5)
        while not all(echo.asked for echo in echoes):
            await client.call(stub.Say, StringValue(value="x"), cause)
    for server in servers:
        await server.stop()
    assert all(echo.asked for echo in echoes)


async def until_all_connected(channel: grpc.aio.Channel) -> None:
    while channel.get_state() is not grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(channel.get_state())


@pytest.mark.parametrize(
    "actor", ["", "root", "key:", "key:a b", "key:a\r\nx: y", "service:ü", "key:" + "x" * 129]
)
async def test_actors_that_no_header_can_carry_are_refused(cause: Cause, actor: str) -> None:
    with pytest.raises(Invalid):
        metadata_of(Cause("default", "r", actor, cause.at))


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("x-provost-tenant", "default"),),
        (("x-provost-tenant", "a.b"), ("x-provost-actor", "key:a")),
        (("x-provost-tenant", "*"), ("x-provost-actor", "key:a")),
        (("x-provost-tenant", "default"), ("x-provost-actor", "nobody")),
    ],
)
async def test_a_call_without_a_cause_is_refused(
    running: Running, metadata: tuple[tuple[str, str], ...]
) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        caller_of(context)
        return request

    running.echo.on_say = say
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.Say(StringValue(), metadata=metadata)
    fault = fault_of(caught.value)
    assert (type(fault), fault.reason) == (Invalid, "MALFORMED_ID")  # type: ignore[union-attr]


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600", "\udcff", "\r\n\0"])
async def test_long_facts_are_clipped_rather_than_lost(running: Running, cause: Cause, letter: str) -> None:
    async def say(request: StringValue, context: Any) -> StringValue:
        fault = Denied("OUT_OF_SCOPE", letter * 50_000, **{f"fact{i}": letter * 10_000 for i in range(100)})
        fault.errors = ((letter * 10_000, letter * 10_000),) * 100
        raise fault

    running.echo.on_say = say
    for _ in range(20):  # past 8 KiB an answer is lost by chance
        with pytest.raises(Denied) as caught:
            await client.call(running.stub.Say, StringValue(), cause)
        assert caught.value.reason == "OUT_OF_SCOPE"
        assert len(caught.value.facts) >= 9
        assert len(caught.value.text) >= 200


@pytest.mark.parametrize(
    "kind", [Invalid, Unauthenticated, Denied, NotFound, Conflict, Refused, Exhausted, Unavailable]
)
def test_every_class_of_fault_comes_back_as_itself(kind: type[Fault]) -> None:
    answer = answer_of(kind("SOME_REASON", "text", a="b"))
    error = grpc.aio.AioRpcError(answer.code, None, grpc.aio.Metadata(*answer.trailing), answer.text)
    fault = fault_of(error)
    assert (type(fault), str(fault)) == (kind, "text")
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.facts) == ("SOME_REASON", {"a": "b"})


def passed_on(fault: Fault) -> Fault:
    answer = answer_of(fault)
    error = grpc.aio.AioRpcError(answer.code, None, grpc.aio.Metadata(*answer.trailing), answer.text)
    found = fault_of(error)
    assert isinstance(found, Fault)
    return found


def test_whatever_is_wrong_comes_back_one_by_one_as_far_as_there_is_room() -> None:
    fault = Invalid("SOME_REASON", "text", a="b")
    fault.errors = (("tiers/T9", "is unknown"), ("version", "is missing"))
    assert passed_on(fault).errors == fault.errors
    assert passed_on(fault).facts == {"a": "b"}
    fault.errors = tuple((f"field {n}", "x" * 500) for n in range(1000))
    told = passed_on(fault).errors
    assert 5 <= len(told) <= 20
    assert [field for field, _ in told] == [f"field {n}" for n in range(len(told))]
    assert len(answer_of(fault).trailing[0][1]) < 3000


def test_details_that_are_not_ours_are_not_believed() -> None:
    for raw in (b"", b"\xff\xff", b"\x08\x05"):
        error = grpc.aio.AioRpcError(
            grpc.StatusCode.PERMISSION_DENIED,
            None,
            grpc.aio.Metadata(("grpc-status-details-bin", raw)),
            "no",
        )
        assert isinstance(fault_of(error), PeerFailed)


_TRACED = """
import asyncio
from datetime import UTC, datetime
from google.protobuf.wrappers_pb2 import StringValue
from chassis import tracing
from chassis.rpc import client
from chassis.rpc.cause import cause_of
from chassis.rpc.server import Server
from kernel.events import Cause
from tests.fakes.process import free_port
from tests.fakes.wait import until
from tests.rpc.chassis.conftest import KEY, settings
from tests.rpc.chassis.echo import Echo, EchoStub, add_echo_to_server

async def main():
    tracing.start("policy", "console")
    async def say(request, context):
        return StringValue(value=cause_of(context).traceparent)
    echo, server = Echo(), Server(settings(), "policy", port=0)
    echo.on_say = say
    server.add(add_echo_to_server, echo)
    await server.start()
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        with tracing.span("outer"):
            outer = tracing.current_traceparent()
            cause = Cause("default", "r", "service:tests", datetime(2026, 1, 1, tzinfo=UTC))
            answer = await client.call(EchoStub(channel).Say, StringValue(), cause)
    await server.stop()
    print(outer, answer.value)

asyncio.run(main())
"""


def test_a_trace_goes_on_across_a_call() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TRACED], capture_output=True, text=True, timeout=60, check=True
    )
    outer, inner = done.stdout.split()
    assert outer.split("-")[1] == inner.split("-")[1]
    assert outer.split("-")[2] != inner.split("-")[2]
    assert done.stderr.count('"name": "provost.test.v1.Echo/Say"') == 2
