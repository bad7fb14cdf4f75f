"""Policy's composition root."""

from chassis import process
from chassis.beginning import begun
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.eventlog.stream import stream_time
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from provost.policy.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from services.policy.adapters.equipment import Equipment
from services.policy.adapters.revoking import Revoking
from services.policy.adapters.simulating.running import ChildSimulations
from services.policy.config import PolicySettings
from services.policy.handlers import Policy
from services.policy.reactor import FILTERS, Held, keep, keep_ended, keep_expired, keep_health, keep_trust
from services.policy.rpc import HOT, PolicyServicer
from services.policy.wire import CODEC


async def main(stopping: process.Stopping) -> None:
    took = await begun(PolicySettings, "policy", stopping)
    settings = took.settings
    connection, keys = await opened(settings, "policy")
    log = JetStreamLog(connection, CODEC, source="provost/policy")
    held = Held(log, CODEC)
    revoking = Revoking(connection)
    held.also(revoking.take)
    follower = Follower(connection, FILTERS, 0, held.deliver, "policy", gather_seconds=0.01)
    own = settings.tls_files("policy")
    simulations = ChildSimulations(settings.nats_url, settings.sealing_key_file, own)
    equipment = Equipment(
        log, held.budgets, follower, keys, revoking, took.vault, simulations,
        log_time=lambda: stream_time(connection), signing_key=settings.signing_key, opa_endpoint=settings.opa_endpoint,
    )  # fmt: skip
    policy = Policy(held, follower, equipment.means)
    opa = equipment.opa
    revoking.serve(settings, policy.taking.surfaces, policy.unconfirmed, follower)
    server = Server(settings, "policy", tell=Opening(keys, verbatim=HOT), why=lambda: took.why() or opa.why())
    server.add(add_PolicyServiceServicer_to_server, PolicyServicer(policy))
    await keys.start(policy.authorization.subject_erased)
    await follower.start()
    await follower.caught_up()
    await revoking.start()
    await server.start()
    await policy.replacing.publish_default(process.now())
    await keep(
        stopping.wait, keep_health(follower, server.set_serving, opa.answers), keep_ended(policy.endings, held.also),
        keep_expired(policy.spending.expire, process.now), keep_trust(held.records, policy.trust.settle),
    )  # fmt: skip
    running = (server, revoking, equipment, follower, keys)
    for stop in (*(each.stop for each in running), connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
