"""The double itself: a gRPC server on loopback that a test starts, asks and throws away."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import grpc
import grpc.aio

from provost.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from provost.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from provost.orchestrator.v1 import orchestrator_pb2_grpc
from provost.policy.v1 import policy_pb2_grpc
from provost.state.v1 import state_pb2, state_pb2_grpc
from provost_sdk.testing.agents import Agents
from provost_sdk.testing.door import ROLES, Caller, Context, admitted, refuse
from provost_sdk.testing.policy import PolicyDouble
from provost_sdk.testing.runs import OrchestratorDouble, Runs
from provost_sdk.testing.tables import FINDINGS, RULES, Finding, Rule
from provost_sdk.testing.world import World

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_COMPONENTS = ("actuators", "gateway", "ledger", "nats", "orchestrator", "policy", "state", "store")


class Double:
    """Use with `async with`. `address` is where it listens; `key` gives a key for each role.

    `callers` are more keys than one for each role: those of other tenants, say.
    """

    def __init__(
        self,
        *,
        rules: Sequence[Rule] = RULES,
        findings: Sequence[Finding] = FINDINGS,
        callers: Mapping[str, Caller] | None = None,
        now: datetime = EPOCH,
    ) -> None:
        own = {f"key-of-{role}": Caller(f"key:{role}", role) for role in ROLES}
        self.address = ""
        self.agents = Agents()
        self._world = World({**own, **(callers or {})}, now)
        self._runs = Runs(self._world, rules, findings, self.agents)
        self._rules = rules
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        server: Any = grpc.aio.server()
        # What a double does not offer is abstract, and gRPC refuses it: UNIMPLEMENTED.
        policy = PolicyDouble(self._world, self._rules, self._runs)  # type: ignore[abstract]
        state = _State(self._world, self._runs)  # type: ignore[abstract]
        ledger = _Ledger(self._world)  # type: ignore[abstract]
        orchestrator = OrchestratorDouble(self._world, self._runs, self.agents)
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server(_Gateway(), server)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
        state_pb2_grpc.add_StateServiceServicer_to_server(state, server)
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server)
        orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(orchestrator, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._server = server
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.agents.leave()
        await self._server.stop(None)

    def key(self, role: str) -> str:
        """A key of `viewer`, `operator`, `approver` or `admin`, of tenant `default`."""
        return f"key-of-{role}"


class _Gateway(gateway_pb2_grpc.GatewayServiceServicer):
    async def GetStatus(
        self, request: gateway_pb2.GetStatusRequest, context: Context
    ) -> gateway_pb2.GetStatusResponse:
        parts = [gateway_pb2.ComponentStatus(name=name, healthy=True) for name in _COMPONENTS]
        return gateway_pb2.GetStatusResponse(healthy=True, components=parts, version="double")


class _State(state_pb2_grpc.StateServiceServicer):
    """The artifacts of runs, and nothing else."""

    def __init__(self, world: World, runs: Runs) -> None:
        self._world = world
        self._runs = runs

    async def GetArtifact(
        self, request: state_pb2.GetArtifactRequest, context: Context
    ) -> state_pb2.GetArtifactResponse:
        caller = await admitted(context, self._world.callers, "viewer")
        found = self._runs.reports.get((caller.tenant, request.sha256))
        if found is None:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "ARTIFACT_UNKNOWN", "there is no such artifact")
        return found


class _Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """An empty log that never grows."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def GetTreeHead(
        self, request: ledger_pb2.GetTreeHeadRequest, context: Context
    ) -> ledger_pb2.GetTreeHeadResponse:
        await admitted(context, self._world.callers, "viewer")
        if request.at_least_sequence:
            await asyncio.Event().wait()  # until whoever asks has had enough
        return ledger_pb2.GetTreeHeadResponse()

    async def GetEvent(
        self, request: ledger_pb2.GetEventRequest, context: Context
    ) -> ledger_pb2.GetEventResponse:
        await admitted(context, self._world.callers, "viewer")
        await refuse(context, grpc.StatusCode.NOT_FOUND, "EVENT_UNKNOWN", "there is no such event")

    async def ListEvents(
        self, request: ledger_pb2.ListEventsRequest, context: Context
    ) -> ledger_pb2.ListEventsResponse:
        await admitted(context, self._world.callers, "viewer")
        return ledger_pb2.ListEventsResponse()
