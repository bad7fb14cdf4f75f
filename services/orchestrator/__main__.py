"""The orchestrator's composition root."""

from chassis import powers, process
from chassis.beginning import begun
from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.follower import Follower, FollowerState
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.eventlog.shelf import Shelf
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from chassis.rpc.serving import serve_while
from provost.orchestrator.v1.orchestrator_pb2_grpc import (
    add_OrchestratorServiceServicer_to_server as add_service,
)
from services.orchestrator import handlers
from services.orchestrator.adapters.knowledge import SqliteKnowledge
from services.orchestrator.adapters.peers import peers_at
from services.orchestrator.adapters.privacy import SubjectPrivacy
from services.orchestrator.adapters.replicas import NatsReplicas
from services.orchestrator.config import OrchestratorSettings
from services.orchestrator.domain.run import RUN
from services.orchestrator.reactor import Reactor
from services.orchestrator.rpc import OrchestratorServicer
from services.orchestrator.wire import EVENTS


async def main(stopping: process.Stopping) -> None:
    took = await begun(OrchestratorSettings, "orchestrator", stopping)
    settings = took.settings
    nats, keys = await opened(settings, "orchestrator")
    log = JetStreamLog(nats, EVENTS, source="provost/orchestrator")
    runs = HeldAggregates(RUN, log, EVENTS, Shelf(settings.home))
    knowledge = SqliteKnowledge(settings.knowledge, keys)
    privacy = SubjectPrivacy(keys)
    peers = peers_at(settings, handlers.ACTOR)
    replicas = NatsReplicas(nats, settings.port("orchestrator"))
    crew = handlers.AttachedCrew(lambda _tenant, agent_id: agent_id in settings.crew)
    conductor, service = handlers.orchestration(
        runs,
        peers.policy,
        peers.state,
        peers.actuators,
        crew,
        knowledge,
        privacy,
        process.now,
        process.new_id,
        handlers.Reasoning(*settings.reasoning),
        lambda sequence: follower.reached(sequence, timeout_seconds=5.0),
        replicas.sharing,
        lambda: replicas.known(follower),
    )
    reactor = Reactor(runs, conductor)
    follower = Follower(nats, reactor.filters, 0, reactor.take, "orchestrator", gather_seconds=0.02)
    losing = powers.Powers(nats, settings, "orchestrator", conductor.surfaces, follower)
    reactor.also(losing)
    server = Server(
        settings,
        "orchestrator",
        max_message_bytes=LARGE_MESSAGES,
        unary_seconds=360.0,
        tell=Opening(keys),
        why=took.why,
    )
    server.add(add_service, OrchestratorServicer(service, crew, peers.sessions, peers.state))
    await keys.start(conductor.subject_erased)
    await follower.start()
    await knowledge.follow(nats)
    await follower.caught_up()
    await replicas.start()
    await server.start()
    replicas.serve(conductor.share, conductor.given)
    await losing.start()
    # One that is cut off for a while goes on: agents stay attached to it, and runs wait.
    halted = FollowerState.HALTED
    await serve_while(lambda: follower.state is not halted, server.set_serving, stopping.wait)
    conductor.let_waiters_go()
    running = (server.stop, conductor.close, replicas.stop, losing.stop, follower.stop, knowledge.close)
    for stop in (*running, keys.stop, nats.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
