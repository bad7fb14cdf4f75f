"""Mutual TLS with real certificates: who gets in, who does not and what they are told, and renewal without a pause."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from chassis.rpc.itself import Itself
from chassis.rpc.peers import ALL
from chassis.rpc.server import Server
from chassis.tls import certificates
from chassis.tls.certificates import Certificates
from kernel.events import Cause
from kernel.faults import Denied, Unavailable
from tests.fakes.certificates import Issued
from tests.rpc.chassis.conftest import KEY, settings
from tests.rpc.chassis.echo import SERVICE, Context, Echo, EchoStub, add_echo_to_server

MAY_CALL = {"agents": {SERVICE: ALL}, "gateway": {SERVICE: frozenset({"Keep"})}}
HELLO = StringValue(value="hello")


@pytest.fixture
def issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issued:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    return Issued(tmp_path / "ca").issue("policy", "agents")


@pytest.fixture
def cause(cause: Cause) -> Cause:
    return replace(cause, actor="service:agents")  # which asks in no other name


@asynccontextmanager
async def serving(issued: Issued, echo: Echo | None = None, **more: object) -> AsyncIterator[Server]:
    server = Server(
        settings(shutdown_seconds=1.0, **issued.settings(), **more), "policy", port=0, may_call=MAY_CALL
    )
    server.add(add_echo_to_server, echo or Echo())
    await server.start()
    await server.set_serving(True)
    yield server
    await server.stop()


def channel(
    server: Server, files: tuple[Path, Path, Path] | None, service: str = "policy"
) -> grpc.aio.Channel:
    shown = None if files is None else Certificates(*files)
    at = f"127.0.0.1:{server.port}"
    return client.channel(at, internal_key=KEY, service=service, certificates=shown)


async def refused(
    server: Server, files: tuple[Path, Path, Path] | None, cause: Cause, service: str = "policy"
) -> str:
    """What a caller that shows `files` is told."""
    async with channel(server, files, service) as over:
        with pytest.raises(Unavailable) as caught:
            await client.call(EchoStub(over).Say, HELLO, cause, 3.0, wait_for_ready=False)
    assert caught.value.reason == "PEER_UNREACHABLE"
    return caught.value.text


async def test_with_a_certificate_of_its_own_a_service_gets_in(issued: Issued, cause: Cause) -> None:
    async with serving(issued) as server, channel(server, issued.files("agents")) as over:
        assert await client.call(EchoStub(over).Say, HELLO, cause) == HELLO


async def test_who_may_call_is_said_by_the_certificate(
    issued: Issued, cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    issued.issue("ledger", "gateway")
    async with serving(issued) as server:
        async with channel(server, issued.files("ledger")) as over:
            with pytest.raises(Denied, match="ledger may not call") as caught:
                await client.call(EchoStub(over).Say, HELLO, cause)
            assert caught.value.reason == "CALLER_NOT_ALLOWED"
            assert caught.value.text.endswith("provost.test.v1.Echo/Say; agents may")
            with pytest.raises(Denied, match="agents and gateway may"):
                await client.call(EchoStub(over).Keep, HELLO, cause)
            with pytest.raises(Denied, match="ledger may not call"):
                await anext(client.stream(EchoStub(over).Watch, HELLO, cause))
        async with channel(server, issued.files("gateway")) as over:
            await client.call(EchoStub(over).Keep, HELLO, cause)
            with pytest.raises(Denied, match="gateway may not call"):
                await client.call(EchoStub(over).Say, HELLO, cause)
    assert "CALLER_NOT_ALLOWED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "roles", "must"),
    [
        ({"actor": "key:alice"}, ("service",), "x-provost-actor must be service:agents"),
        ({"actor": "service:actuators"}, ("service",), "x-provost-actor must be service:agents"),
        ({"tenant": "acme"}, ("service",), "x-provost-tenant must be default"),
        ({}, ("admin",), "x-provost-roles must be service"),
        ({}, ("service", "admin"), "x-provost-roles must be service"),
        ({}, (), "x-provost-roles must be service"),
    ],
)
async def test_who_asks_for_itself_alone_is_not_believed_to_be_another(
    issued: Issued, cause: Cause, change: dict[str, str], roles: tuple[str, ...], must: str
) -> None:
    echo, another = Echo(), replace(cause, **change)  # type: ignore[arg-type]
    async with serving(issued, echo) as server, channel(server, issued.files("agents")) as over:
        told = f"agents may ask in its own name alone: {must}"
        with pytest.raises(Denied, match=told) as caught:
            await client.call(EchoStub(over).Say, HELLO, another, roles=roles)
        assert caught.value.reason == "CALLER_NOT_ALLOWED"
        with pytest.raises(Denied, match=told):
            await anext(client.stream(EchoStub(over).Watch, HELLO, another, roles=roles))
        assert echo.asked == 0
        # Said twice, one after the other, and once.
        with pytest.raises(grpc.aio.AioRpcError, match=r"own name alone"):
            await EchoStub(over).Say(
                HELLO, metadata=metadata_of(cause) + metadata_of(another, roles or ("viewer",))
            )
        with pytest.raises(grpc.aio.AioRpcError, match=r"own name alone"):
            await EchoStub(over).Say(HELLO)


async def test_who_passes_on_who_asked_it_is_believed(issued: Issued, cause: Cause) -> None:
    issued.issue("gateway")
    async with serving(issued) as server, channel(server, issued.files("gateway")) as over:
        asked = replace(cause, actor="key:alice", tenant="acme")
        assert (await client.call(EchoStub(over).Keep, HELLO, asked, roles=("admin", "viewer"))).value == "5"


async def test_without_a_certificate_nobody_gets_in_and_is_told_why(issued: Issued, cause: Cause) -> None:
    async with serving(issued) as server:
        told = await refused(server, None, cause)
    assert f"policy at 127.0.0.1:{server.port} speaks TLS alone" in told
    assert "PROVOST_TLS_CERT_FILE" in told


async def test_a_server_that_speaks_no_tls_is_named(issued: Issued, cause: Cause) -> None:
    server = Server(settings(), "policy", port=0)
    await server.start()
    told = await refused(server, issued.files("agents"), cause)
    assert "policy at 127.0.0.1" in told
    assert "speaks no TLS" in told
    await server.stop()


async def test_an_expired_certificate_is_told_by_whom_and_since_when(issued: Issued, cause: Cause) -> None:
    async with serving(issued) as server:
        issued.expired("agents")
        ours = Certificates(*issued.files("agents")).current()
        told = await refused(server, issued.files("agents"), cause)
        assert told.startswith(f"the certificate of agents expired at {ours.not_after:%Y-%m-%dT%H:%M:%SZ}")
        issued.issue("agents").expired("policy")
        theirs = Certificates(*issued.files("policy")).current()
        told = await refused(server, issued.files("agents"), cause)
        assert f"shows a certificate that expired at {theirs.not_after:%Y-%m-%dT%H:%M:%SZ}" in told


async def test_another_authority_is_believed_by_neither_side(
    issued: Issued, cause: Cause, tmp_path: Path
) -> None:
    stranger = Issued(tmp_path / "stranger").issue("agents")
    async with serving(issued) as server:
        told = await refused(server, stranger.files("agents"), cause)
        assert "an authority that is not in" in told
        # One that believes the server, and is not believed itself.
        certificate, key, authority = stranger.files("agents")
        both = authority.with_name("both.crt")
        both.write_bytes(authority.read_bytes() + issued.files("agents")[2].read_bytes())
        told = await refused(server, (certificate, key, both), cause)
        assert "the certificate of agents" in told


async def test_a_peer_with_the_certificate_of_another_is_not_talked_to(issued: Issued, cause: Cause) -> None:
    async with serving(issued) as server:
        told = await refused(server, issued.files("agents"), cause, service="ledger")
    assert "shows the certificate of policy, not of ledger" in told


async def test_health_is_answered_to_the_process_itself(issued: Issued) -> None:
    async with serving(issued) as server:
        itself = Itself(settings(policy_port=server.port, **issued.settings()), "policy")
        assert await itself.serving(5.0)
        issued.issue("policy")  # and after a renewal
        assert await itself.serving(5.0)
        await itself.close()


async def test_renewed_certificates_are_taken_up_and_no_call_in_flight_is_lost(
    issued: Issued, cause: Cause
) -> None:
    shown: list[bytes] = []
    go_on, held = asyncio.Event(), asyncio.Event()

    async def say(request: StringValue, context: Context) -> StringValue:
        shown.extend(context.auth_context()["x509_pem_cert"])
        if request.value == "hold":
            held.set()
            await go_on.wait()
        return request

    async def watch(request: StringValue, _context: Context) -> AsyncIterator[StringValue]:
        yield StringValue(value="before")
        await go_on.wait()
        yield StringValue(value="after")

    echo = Echo()
    echo.on_say, echo.on_watch = say, watch
    async with serving(issued, echo) as server, channel(server, issued.files("agents")) as over:
        stub = EchoStub(over)
        holding = asyncio.create_task(client.call(stub.Say, StringValue(value="hold"), cause, 20.0))
        watching = client.stream(stub.Watch, HELLO, cause)
        assert (await anext(watching)).value == "before"
        await held.wait()
        issued.issue("policy", "agents")
        fresh = issued.files("agents")[0].read_bytes()
        for _ in range(20):
            await client.call(stub.Say, HELLO, cause)
        assert shown[0] != fresh
        assert shown[1:] == [fresh] * 20
        go_on.set()
        assert (await holding).value == "hold"
        assert [each.value async for each in watching] == ["after"]


async def test_connections_are_made_anew_so_that_new_replicas_are_found(issued: Issued, cause: Cause) -> None:
    peers: set[str] = set()

    async def say(request: StringValue, context: Context) -> StringValue:
        peers.add(context.peer())
        return request

    echo = Echo()
    echo.on_say = say
    async with (
        serving(issued, echo, connection_seconds=0.2) as server,
        channel(server, issued.files("agents")) as over,
        asyncio.timeout(20),
    ):
        stub, calls = EchoStub(over), 0
        while len(peers) < 3:  # and not one of the calls fails
            await client.call(stub.Say, HELLO, cause)
            calls += 1
        assert calls > 3


def test_half_renewed_files_leave_the_last_good_ones_in_use(
    issued: Issued, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key, _ = issued.files("agents")
    reader = Certificates(*issued.files("agents"))
    before, old_key = reader.current(), key.read_bytes()
    issued.issue("agents")
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    assert reader.current() is before
    assert "is not that of the certificate in" in capsys.readouterr().out
    key.write_bytes(new_key)
    assert reader.current().certificate == certificate.read_bytes()
    certificate.unlink()
    assert reader.trouble() == ""
    assert "cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda files: files[0].unlink(), "cannot be read .*`provost certs issue`"),
        (lambda files: files[0].write_text("nonsense"), "holds no certificate in PEM"),
        (lambda files: files[1].write_text("nonsense"), "holds no private key"),
        (lambda files: files[2].write_text(""), "holds no certificate of an authority"),
    ],
    ids=["missing", "no certificate", "no key", "no authority"],
)
def test_files_that_cannot_be_used_say_which_and_why(
    issued: Issued, spoil: Callable[[tuple[Path, Path, Path]], None], why: str
) -> None:
    spoil(issued.files("agents"))
    with pytest.raises(certificates.CertificateTrouble, match=why):
        Certificates(*issued.files("agents")).current()


async def test_callers_of_the_gateway_are_shown_a_certificate_and_asked_for_none(
    issued: Issued, cause: Cause
) -> None:
    issued.issue("gateway")
    certificate, key, authority = issued.files("gateway")
    given = settings(gateway_tls_cert_file=certificate, gateway_tls_key_file=key, **issued.settings())
    server = Server(given, "gateway", port=0, check_internal_key=False)
    server.add(add_echo_to_server, Echo())
    await server.start()
    await server.set_serving(True)
    believing = grpc.ssl_channel_credentials(authority.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{server.port}", believing) as over:
        assert await EchoStub(over).Say(HELLO, timeout=5) == HELLO
        issued.issue("gateway")
    assert await Itself(given.model_copy(update={"gateway_port": server.port}), "gateway").serving(5.0)
    async with grpc.aio.insecure_channel(f"localhost:{server.port}") as over:
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(over).Say(HELLO, timeout=5)
    await server.stop()
