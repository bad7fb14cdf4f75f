"""State's composition root."""

from chassis import powers, process, store
from chassis.beginning import begun
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from chassis.tls import certificates
from provost.state.v1.state_pb2_grpc import add_StateServiceServicer_to_server
from services.state.adapters import (
    LogHistory,
    RedisStore,
    SequencingLog,
    aggregates_over,
    artifacts_in,
    forgetting_after,
)
from services.state.adapters.naming import NamedSnapshots
from services.state.config import StateSettings
from services.state.domain.view import View
from services.state.handlers import State, Turns, Vigil
from services.state.reactor import HeldSets, Judging, Reactor, Sharing, StoreAudit, StoreMirror, WatchFeed
from services.state.reactor.health import followed, in_step
from services.state.reactor.snapshots import SnapshotKeeper
from services.state.rpc import MAX_MESSAGE_BYTES, StateServicer
from services.state.wire import CODEC, FILTERS


async def main(stopping: process.Stopping) -> None:
    took = await begun(StateSettings, "state", stopping, store=True)
    settings = took.settings
    connection, keys = await opened(settings, "state")
    log = JetStreamLog(connection, CODEC, source="provost/state")
    view = View()
    kept, every = aggregates_over(SequencingLog(log), CODEC)
    sets = HeldSets(connection, settings.stuck_seconds)
    own = certificates.of(settings, "state")
    client = store.connect(settings.store_url.get_secret_value(), certificates=own)
    derived = RedisStore(client)
    mirror = StoreMirror(view, derived, now=process.now, new_mark=process.new_id)
    contents, lying = await artifacts_in(settings.artifacts, settings.directories, connection, process.new_id)
    snapshots = SnapshotKeeper(view, every, lying, NamedSnapshots(connection, log, CODEC), process.now)
    upto = await snapshots.load(await log.last_sequence())
    reactor = Reactor(view, mirror)
    follower = Follower(connection, FILTERS, upto, reactor.deliver, "state", gather_seconds=0.03)
    vigil = Vigil(kept, mirror, process, sets.patience_seconds)
    turns = Turns()
    audit = StoreAudit(view, derived, mirror, LogHistory(log, FILTERS), follower, process.now)
    state = State(kept, view, mirror, audit, follower, contents, vigil, turns, process, sets)
    losing = powers.Powers(connection, settings, "state", state.losing.surfaces, follower)
    feed = WatchFeed(view, follower.reached, log.last_sequence)
    judging = Judging(vigil, turns, process)
    reactor.feeds(feed, *every, Sharing(kept, view), judging, losing)
    reactor.led_by(follower, alone=settings.alone)
    server = Server(settings, "state", max_message_bytes=MAX_MESSAGE_BYTES, tell=Opening(keys), why=took.why)
    server.add(add_StateServiceServicer_to_server, StateServicer(state, feed.watching))
    followers = (sets.follower, follower)
    await keys.start()
    await mirror.open(log.last_sequence)
    feed.watching.begin()
    await followed(*followers)
    await server.start()
    async with (
        snapshots.taking(follower),
        in_step(followers, mirror, server.set_serving),
        judging.at_work(),
        forgetting_after(contents, settings.artifact_days, process.now, view),
        losing,
    ):
        await stopping.wait()
        turns.close()
        await server.stop()
    for stop in (sets.follower.stop, follower.stop, client.aclose, keys.stop, connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
