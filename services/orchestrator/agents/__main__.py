"""The built-in crew's composition root: as many agents as the crew has, in one process."""

import asyncio
from typing import Any

from chassis import process
from chassis.beginning import begun
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.client import channel
from chassis.rpc.server import Server
from chassis.tls import certificates
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.orchestrator.agents.attach import BuiltInAgent, keep_health
from services.orchestrator.agents.rulebook import packaged
from services.orchestrator.agents.wire import think
from services.orchestrator.config import OrchestratorSettings

TENANT = "default"


async def main(stopping: process.Stopping) -> None:
    took = await begun(OrchestratorSettings, "agents", stopping, listens=False)
    settings = took.settings
    key = settings.internal_key.get_secret_value()
    own = certificates.of(settings, "agents")
    policy: Any = PolicyServiceStub(
        channel(settings.policy_address, internal_key=key, service="policy", certificates=own)
    )
    orchestrator: Any = OrchestratorServiceStub(
        channel(
            settings.orchestrator_address, internal_key=key, max_message_bytes=LARGE_MESSAGES,
            service="orchestrator", certificates=own,
        )
    )  # fmt: skip
    packaged()  # the rules are read and compiled now, not while the first run waits
    agents = [
        BuiltInAgent(agent_id, TENANT, policy, orchestrator, think) for agent_id in sorted(settings.crew)
    ]
    working = [asyncio.create_task(agent.work()) for agent in agents]
    if settings.agents_port:
        server = Server(settings, "agents", port=settings.agents_port, why=took.why)
        await server.start()
        working += [asyncio.create_task(keep_health(agents, server.set_serving))]
    await stopping.wait()
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    await took.stop()


if __name__ == "__main__":
    process.run(main)
