"""Small real gRPC services to stand behind the gateway: they say back what they were told about the caller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeVar

import grpc.aio
from pydantic import SecretStr

from chassis.config import ServiceSettings
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.server import Server
from kernel.faults import Refused, Unauthenticated, Unavailable
from provost.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from provost.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from provost.policy.v1 import policy_pb2, policy_pb2_grpc
from tests.fakes.process import free_port

INTERNAL_KEY = "an internal key for tests"
S = TypeVar("S")
Context = grpc.aio.ServicerContext[Any, Any]


def settings(**changes: object) -> ServiceSettings:
    return ServiceSettings(
        _env_file=None, internal_key=SecretStr(INTERNAL_KEY), shutdown_seconds=2.0, **changes  # type: ignore[arg-type]
    )  # fmt: skip


class Policy(policy_pb2_grpc.PolicyServiceServicer):
    """GetAgent says back all it heard, and that it ends the first `ending` times; RevokeAgent refuses; GetPolicySet
    takes `slow` seconds or until cancelled."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str | bytes]] = []
        self.seconds_left: list[float | None] = []
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.streamed: list[str] = []
        self.ending = 0

    async def GetAgent(
        self, request: policy_pb2.GetAgentRequest, context: Context
    ) -> policy_pb2.GetAgentResponse:
        self.heard.append(dict(context.invocation_metadata() or ()))
        self.seconds_left.append(context.time_remaining())
        if len(self.heard) <= self.ending:
            raise Unavailable("SHUTTING_DOWN", "this server is stopping; try again")
        context.set_trailing_metadata((("provost-stale-seconds", "12"), ("x-internal", "nobody's business")))
        return policy_pb2.GetAgentResponse(agent=policy_pb2.Agent(agent_id=request.agent_id))

    async def RevokeAgent(self, request: policy_pb2.RevokeAgentRequest, context: Context) -> Any:
        raise Refused("AGENT_ALREADY_REVOKED", "it was revoked before", agent_id=request.agent_id, by="key:x")

    async def CreateSession(self, request: policy_pb2.CreateSessionRequest, context: Context) -> Any:
        self.heard.append(dict(context.invocation_metadata() or ()))
        if request.secret_id == "wrong":
            raise Unauthenticated("CREDENTIALS_REFUSED", "role and secret do not fit")
        return policy_pb2.CreateSessionResponse(agent_id=request.role_id)

    async def StreamAuthorize(self, request_iterator: Any, context: Context) -> AsyncIterator[Any]:
        async for request in request_iterator:
            self.streamed.append(request.ask.request_id)
            yield policy_pb2.StreamAuthorizeResponse(request_id=request.ask.request_id)

    async def ListAgents(self, request: policy_pb2.ListAgentsRequest, context: Context) -> Any:
        raise RuntimeError("s3cret-canary")

    async def GetPolicySet(self, request: policy_pb2.GetPolicySetRequest, context: Context) -> Any:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class Orchestrator(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """ProcessLog answers how long the log was, not before `go`; AttachAgent welcomes each hello by its token, not
    before `welcoming`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.at_work = 0
        self.request_ids: list[str] = []
        self.heard: list[dict[str, str | bytes]] = []
        self.left = asyncio.Event()
        self.greeted: list[str] = []
        self.welcoming = asyncio.Event()
        self.welcoming.set()

    async def ProcessLog(self, request: orchestrator_pb2.ProcessLogRequest, context: Context) -> Any:
        self.at_work += 1
        self.request_ids.append(request.request_id)
        await self.go.wait()
        source = orchestrator_pb2.Source(size_bytes=len(request.log))
        state = orchestrator_pb2.RUN_STATE_COMPLETED
        run = orchestrator_pb2.Run(run_id=request.request_id, state=state, source=source)
        return orchestrator_pb2.ProcessLogResponse(run=run)

    async def AttachAgent(self, request_iterator: Any, context: Context) -> AsyncIterator[Any]:
        self.heard.append(dict(context.invocation_metadata() or ()))
        try:
            async for request in request_iterator:
                if request.hello.session_token == "forged":
                    raise Unauthenticated("TOKEN_INVALID", "its signature does not fit")
                self.greeted.append(request.hello.session_token)
                await self.welcoming.wait()
                welcome = orchestrator_pb2.AttachAgentResponse.Welcome(agent_id=request.hello.session_token)
                yield orchestrator_pb2.AttachAgentResponse(welcome=welcome)
        finally:
            self.left.set()


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """RebuildLedger counts to three; GetEntries answers 64 pieces of 256 KiB and breaks off after `pieces`."""

    pieces = 64

    async def RebuildLedger(
        self, request: ledger_pb2.RebuildLedgerRequest, context: Context
    ) -> AsyncIterator[Any]:
        for n in (1, 2, 3):
            yield ledger_pb2.RebuildLedgerResponse(events=n, target=3, done=n == 3)

    async def GetEntries(self, request: ledger_pb2.GetEntriesRequest, context: Context) -> AsyncIterator[Any]:
        for n in range(64):
            if n == self.pieces:
                raise Unavailable("LEDGER_BEHIND", "it broke off")
            yield ledger_pb2.GetEntriesResponse(piece=bytes([n]) * 256 * 1024)


def made(servicer: Callable[[], S]) -> S:
    """One of them; methods they do not have answer UNIMPLEMENTED, as the generated code has it."""
    return servicer()


class Peers:
    """The three of them, each at a port of its own; one may be stopped and started again there."""

    def __init__(self) -> None:
        self.policy, self.orchestrator, self.ledger = made(Policy), made(Orchestrator), made(Ledger)
        self.ports = {name: free_port() for name in ("policy", "orchestrator", "ledger")}
        self._servers: dict[str, Server] = {}

    @property
    def addresses(self) -> dict[str, str]:
        return {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}

    async def start(self, name: str) -> None:
        server = Server(settings(), name, port=self.ports[name], max_message_bytes=LARGE_MESSAGES)
        if name == "policy":
            server.add(policy_pb2_grpc.add_PolicyServiceServicer_to_server, self.policy)
        elif name == "orchestrator":
            server.add(orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server, self.orchestrator)
        else:
            server.add(ledger_pb2_grpc.add_LedgerServiceServicer_to_server, self.ledger)
        await server.start()
        await server.set_serving(True)
        self._servers[name] = server

    async def stop(self, name: str) -> None:
        await self._servers.pop(name).stop()

    async def __aenter__(self) -> Self:
        for name in self.ports:
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._servers):
            await self.stop(name)
