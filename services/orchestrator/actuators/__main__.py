"""The actuators' composition root."""

from collections.abc import Sequence

from chassis import process
from chassis.beginning import begun
from chassis.digest import action_digest
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import is_event
from chassis.eventlog.opened import connected
from chassis.powers import Powers
from chassis.rpc.client import channel
from chassis.rpc.server import Server
from chassis.rpc.serving import serve_while
from chassis.tls import certificates
from kernel.events import Cause, Recorded
from provost.orchestrator.v1.actuator_pb2_grpc import add_ActuatorServiceServicer_to_server
from services.orchestrator.actuators.ansible import AnsibleCheck
from services.orchestrator.actuators.command import end_left_behind
from services.orchestrator.actuators.diagnostics import DIAGNOSTICS
from services.orchestrator.actuators.hands import Hands
from services.orchestrator.actuators.journal import Journal
from services.orchestrator.actuators.permits import PolicyPermits
from services.orchestrator.actuators.rpc import ActuatorServicer
from services.orchestrator.config import OrchestratorSettings


async def main(stopping: process.Stopping) -> None:
    took = await begun(OrchestratorSettings, "actuators", stopping)
    settings = took.settings
    await end_left_behind()
    to_policy = channel(
        settings.policy_address, internal_key=settings.internal_key.get_secret_value(), service="policy",
        certificates=certificates.of(settings, "actuators"),
    )  # fmt: skip
    permits = PolicyPermits(to_policy, Cause("default", "", "service:actuators", process.now()))
    journal = Journal(settings.home / "actuators" / "journal.db")
    hands = Hands(
        (*DIAGNOSTICS, AnsibleCheck()), permits, journal, action_digest, process.monotonic,
        lambda: follower.stale_seconds,
    )  # fmt: skip

    async def heed(events: Sequence[Recorded]) -> None:
        for recorded in filter(is_event, events):
            # Whom it is about is said by its subject: a revocation that cannot be read revokes all the same.
            hands.revoke(recorded.stream.tenant, recorded.stream.id)
        await losing.take(events)

    connection = await connected(settings, "actuators")
    follower = Follower(connection, ("evt.*.policy.agent.*.AgentRevoked",), 0, heed, "actuators")
    losing = Powers(connection, settings, "actuators", {"permits": hands.end}, follower)
    server = Server(settings, "actuators", unary_seconds=200.0, why=took.why)
    server.add(add_ActuatorServiceServicer_to_server, ActuatorServicer(hands))
    await follower.start()
    await follower.caught_up()
    await server.start()
    await losing.start()
    await serve_while(hands.look, server.set_serving, stopping.wait)
    for end in (server.stop, losing.stop, follower.stop, connection.close, took.stop):
        await end()


if __name__ == "__main__":
    process.run(main)
