"""Policy's composition root."""

import asyncio

from chassis import metrics, process, telemetry
from chassis.config import load
from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.stream import ensure_stream
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.policy.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from services.policy import reactor
from services.policy.adapters.group_commit import ACTOR, GroupCommit
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.config import PolicySettings
from services.policy.domain.agent import AGENT
from services.policy.domain.approval import APPROVAL
from services.policy.domain.policyset import POLICY_SET
from services.policy.handlers import Agents, Approvals, Authorization, Policy, PolicySets
from services.policy.handlers.policysets import FIRST_TENANT
from services.policy.rpc import PolicyServicer
from services.policy.wire import CODEC


async def main(stopping: process.Stopping) -> None:
    settings = load(PolicySettings)
    telemetry.configure("policy", settings)
    metrics.serve(settings.metrics_port_of("policy"))
    connection = await connect(settings.nats_url, name="policy")
    await ensure_stream(connection)
    log = JetStreamLog(connection, CODEC, source="provost/policy")

    agents, approvals, published = (
        HeldAggregates(AGENT, log, CODEC), HeldAggregates(APPROVAL, log, CODEC), HeldAggregates(POLICY_SET, log, CODEC)
    )  # fmt: skip
    packets = reactor.HeldPackets(CODEC)
    events = reactor.Reactor(agents.take, approvals.take, published.take, packets.take)
    follower = Follower(connection, reactor.FILTERS, 0, events.deliver, "policy")
    signer, groups, now = FileSigner(settings.signing_key), GroupCommit(log), process.now
    sets = PolicySets(published, YamlPolicySets())
    policy = Policy(
        Agents(agents, follower, sets, signer, process.new_secret, process.new_id),
        Approvals(approvals, follower, digest_of, now),
        sets,
        Authorization(agents, approvals, packets, sets, follower, groups, signer, digest_of, now),
    )

    server = Server(settings, "policy")
    server.add(add_PolicyServiceServicer_to_server, PolicyServicer(policy, signer))
    await follower.start()
    await server.start()
    await follower.caught_up()
    await sets.publish_default(Cause(FIRST_TENANT, process.new_id(), ACTOR, now()))
    health = asyncio.create_task(reactor.keep_health(follower, server.set_serving))
    await stopping.wait()
    health.cancel()
    await server.stop()
    await groups.stop()
    await follower.stop()
    await connection.close()


if __name__ == "__main__":
    process.run(main)
