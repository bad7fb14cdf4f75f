"""Policy's composition root."""

import asyncio

from chassis import metrics, process, telemetry
from chassis.config import load
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from provost.policy.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from services.policy.adapters.group_commit import GroupCommit
from services.policy.adapters.identity import HashedIdentity
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.config import PolicySettings
from services.policy.handlers import Policy
from services.policy.ports import Means
from services.policy.reactor import FILTERS, Held, keep_health
from services.policy.rpc import HOT, PolicyServicer
from services.policy.wire import CODEC


async def main(stopping: process.Stopping) -> None:
    settings = load(PolicySettings)
    telemetry.configure("policy", settings)
    metrics.serve(settings.metrics_port_of("policy"))
    connection, keys = await opened(settings, "policy")
    log = JetStreamLog(connection, CODEC, source="provost/policy")
    held = Held(log, CODEC)
    follower = Follower(connection, FILTERS, 0, held.deliver, "policy", gather_seconds=0.01)
    groups = GroupCommit(log)
    means = Means(
        record=groups, identity=HashedIdentity(process.new_secret),
        signer=FileSigner(settings.signing_key), reader=YamlPolicySets(), digest=digest_of, keys=keys,
        now=process.now, new_id=process.new_id, new_secret=process.new_secret,
    )  # fmt: skip
    policy = Policy(held, follower, means)
    server = Server(settings, "policy", tell=Opening(keys, verbatim=HOT))
    server.add(add_PolicyServiceServicer_to_server, PolicyServicer(policy))
    await keys.start(policy.authorization.subject_erased)
    await follower.start()
    await follower.caught_up()
    await server.start()
    await policy.policy_sets.publish_default(process.now())
    async with asyncio.TaskGroup() as group:  # what fails in here ends the process
        health = group.create_task(keep_health(follower, server.set_serving))
        await stopping.wait()
        health.cancel()
    await server.stop()
    for stop in (groups.stop, follower.stop, keys.stop, connection.close):
        await stop()


if __name__ == "__main__":
    process.run(main)
