"""The time machine over gRPC."""

import asyncio
from contextlib import aclosing

from chassis.rpc.cause import Context
from kernel.faults import Exhausted, Invalid
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.domain.flips import Simulation
from services.policy.handlers import Policy
from services.policy.rpc.callers import admitted
from services.policy.wire.simulating import SIMULATED, max_flips_from_wire, time_from_wire
from services.policy.wire.texts import MAX_ID, bounded

READ_SECONDS = 60.0


class SimulatingRpc(PolicyServiceServicer):
    """What would have been?"""

    _policy: Policy

    async def SimulatePolicySet(  # type: ignore[override]  # writes by itself: a reader that does not read holds a place
        self, request: pb.SimulatePolicySetRequest, context: Context
    ) -> None:
        tenant = admitted(context, "SimulatePolicySet").tenant
        asked = self._asked(request, tenant)
        async with aclosing(self._policy.simulating.simulate(asked)) as telling:
            await context.send_initial_metadata(())
            async for each in telling:
                try:
                    async with asyncio.timeout(READ_SECONDS):
                        await context.write(SIMULATED.to_message(each))
                except TimeoutError:
                    text = f"nobody has read what the simulation tells for {READ_SECONDS:g} s: ask again, and read"
                    raise Exhausted("WATCH_TOO_SLOW", text) from None

    def _asked(self, request: pb.SimulatePolicySetRequest, tenant: str) -> Simulation:
        if bool(request.document) == bool(request.version):
            raise Invalid(
                "FIELD_INVALID", "give a document or the version of a set, one of both", field="document"
            )
        document = request.document
        if request.version:
            document = self._policy.policy_sets.shown(tenant, request.version).document
        since = time_from_wire(request.from_time, "from_time") if request.HasField("from_time") else None
        until = time_from_wire(request.to_time, "to_time") if request.HasField("to_time") else None
        if since is not None and until is not None and since >= until:
            raise Invalid("FIELD_INVALID", "from_time must be before to_time", field="from_time")
        agent_id = bounded(request.agent_id, "agent_id", MAX_ID, least=0)
        return Simulation(tenant, document, since, until, agent_id, max_flips_from_wire(request.max_flips))
