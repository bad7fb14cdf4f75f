"""The orchestrator's composition root."""

from chassis import metrics, process, telemetry
from chassis.config import load
from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.stream import ensure_stream
from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.client import channel
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.orchestrator.v1.orchestrator_pb2_grpc import add_OrchestratorServiceServicer_to_server
from services.orchestrator.adapters.actuators import GrpcActuators
from services.orchestrator.adapters.policy import GrpcPolicy, PolicySessions
from services.orchestrator.adapters.state import GrpcState
from services.orchestrator.config import OrchestratorSettings
from services.orchestrator.domain.run import RUN
from services.orchestrator.handlers import AttachedCrew, Conductor, Orchestrator, Steps
from services.orchestrator.handlers.orchestrator import Limits, Reasoning
from services.orchestrator.handlers.steps import ACTOR
from services.orchestrator.handlers.steps import Limits as StepLimits
from services.orchestrator.reactor import Reactor
from services.orchestrator.rpc import OrchestratorServicer
from services.orchestrator.wire import EVENTS


async def main(stopping: process.Stopping) -> None:
    settings = load(OrchestratorSettings)
    telemetry.configure("orchestrator", settings)
    metrics.serve(settings.metrics_port_of("orchestrator"))
    key = settings.internal_key.get_secret_value()
    connection = await connect(settings.nats_url, name="orchestrator")
    await ensure_stream(connection)
    log = JetStreamLog(connection, EVENTS, source="provost/orchestrator")

    to_policy = channel(settings.policy_address, internal_key=key)
    policy, sessions = GrpcPolicy(to_policy), PolicySessions(to_policy)
    state = GrpcState(channel(settings.state_address, internal_key=key, max_message_bytes=LARGE_MESSAGES))
    ask = Cause("default", "", ACTOR, process.now())
    actuators = GrpcActuators(channel(settings.actuators_address, internal_key=key), ask)

    runs = HeldAggregates(RUN, log, EVENTS)
    crew = AttachedCrew(lambda _tenant, agent_id: agent_id in settings.crew)
    steps = Steps(runs, policy, state, actuators, crew, process.now, StepLimits(), process.new_id)
    conductor = Conductor(runs, steps, policy, state, crew, process.now, process.new_id)
    thinking = Reasoning(
        settings.enable_reflection, settings.max_reasoning_cycles, settings.target_reasoning_score
    )
    orchestrator = Orchestrator(runs, conductor, policy, state, crew, process.now, thinking, Limits())

    reactor = Reactor(runs, conductor)
    follower = Follower(connection, reactor.filters, 0, reactor.take, "orchestrator")
    server = Server(settings, "orchestrator", max_message_bytes=LARGE_MESSAGES, unary_seconds=360.0)
    servicer = OrchestratorServicer(orchestrator, crew, sessions, state)
    server.add(add_OrchestratorServiceServicer_to_server, servicer)
    await follower.start()
    await server.start()
    await follower.caught_up()
    conductor.resume()
    await server.set_serving(True)
    await stopping.wait()
    await server.stop()
    await conductor.close()
    await follower.stop()
    await connection.close()


if __name__ == "__main__":
    process.run(main)
