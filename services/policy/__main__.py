"""Policy's composition root."""

import asyncio

from chassis import process
from chassis.beginning import begun
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from provost.policy.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from services.policy.adapters.budget_lane import BudgetLane
from services.policy.adapters.group_commit import GroupCommit
from services.policy.adapters.identity import identity_over
from services.policy.adapters.opa import OpaServer
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego import RegoRules
from services.policy.adapters.revoking import Revoking
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.adapters.simulating.running import ChildSimulations
from services.policy.config import PolicySettings
from services.policy.handlers import Policy
from services.policy.ports import Means
from services.policy.reactor import FILTERS, Held, keep_ended, keep_expired, keep_health, keep_trust
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
    groups, lane = GroupCommit(log), BudgetLane(held.budgets, follower)
    rules, opa = RegoRules(), OpaServer(settings.opa_endpoint)
    means = Means(
        record=groups, budgets=lane, identity=identity_over(took.vault, process.new_secret),
        signer=FileSigner(settings.signing_key), reader=YamlPolicySets(), digest=digest_of, keys=keys,
        simulations=ChildSimulations(settings.nats_url, settings.sealing_key_file), words=revoking,
        now=process.now, new_id=process.new_id, new_secret=process.new_secret,
        rules=rules, opa=opa if opa.set else None,
    )  # fmt: skip
    policy = Policy(held, follower, means)
    revoking.serve(settings, policy.taking.surfaces, policy.unconfirmed, follower)
    server = Server(settings, "policy", tell=Opening(keys, verbatim=HOT), why=lambda: took.why() or opa.why())
    server.add(add_PolicyServiceServicer_to_server, PolicyServicer(policy))
    await keys.start(policy.authorization.subject_erased)
    await follower.start()
    await follower.caught_up()
    await revoking.start()
    await server.start()
    policy.endings.remember()
    await policy.policy_sets.publish_default(process.now())
    async with asyncio.TaskGroup() as group:  # what fails in here ends the process
        kept = (
            keep_health(follower, server.set_serving, opa.answers), keep_trust(held.records, policy.trust.settle),
            keep_expired(policy.spending.expire, process.now), keep_ended(policy.endings.settle),
        )  # fmt: skip
        tasks = [group.create_task(each) for each in kept]
        await stopping.wait()
        for task in tasks:
            task.cancel()
    await server.stop()
    running = (revoking, groups, lane, follower, keys)
    for stop in (rules.stop, opa.stop, *(each.stop for each in running), connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
