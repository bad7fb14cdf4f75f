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
from services.state.adapters import ArtifactDirectory, LogHistory, RedisStore, SequencingLog, kept_over
from services.state.adapters.forgetting import kept_for
from services.state.adapters.naming import NamedSnapshots
from services.state.config import StateSettings
from services.state.domain.view import View
from services.state.handlers import State, Turns, Vigil
from services.state.reactor import Reactor, Sharing, StoreAudit, StoreMirror, Watched, Watchers, kept_up
from services.state.reactor.snapshots import SnapshotKeeper
from services.state.rpc import MAX_MESSAGE_BYTES, StateServicer
from services.state.wire import CODEC, FILTERS


async def main(stopping: process.Stopping) -> None:
    took = await begun(StateSettings, "state", stopping, store=True)
    settings = took.settings
    connection, keys = await opened(settings, "state")
    jetstream = JetStreamLog(connection, CODEC, source="provost/state")
    view, (kept, every) = View(), kept_over(SequencingLog(jetstream), CODEC)
    own = certificates.of(settings, "state")
    derived = RedisStore(client := store.connect(settings.store_url.get_secret_value(), certificates=own))
    mirror = StoreMirror(view, derived, now=process.now, new_mark=process.new_id)
    vigil, turns = Vigil(kept, mirror, process, settings.stuck_seconds), Turns()
    watchers = Watchers(vigil, turns)
    watched = Watched(view, lambda upto: follower.reached(upto), jetstream.last_sequence)  # noqa: PLW0108 - made below
    reactor = Reactor((watched, *every, Sharing(kept, view), watchers), view, mirror)
    contents, lying = (ArtifactDirectory(each, process.new_id) for each in settings.directories)
    snapshots = SnapshotKeeper(view, every, lying, NamedSnapshots(connection, jetstream, CODEC), process.now)
    upto = await snapshots.load(await jetstream.last_sequence())
    watched.watching.begin()
    follower = Follower(connection, FILTERS, upto, reactor.deliver, "state", gather_seconds=0.03)
    audit = StoreAudit(view, derived, mirror, LogHistory(jetstream, FILTERS), follower, process.now)
    state = State(kept, view, mirror, audit, follower, contents, vigil, turns, process)
    reactor.also(losing := powers.Powers(connection, settings, "state", state.losing.surfaces, follower))
    server = Server(settings, "state", max_message_bytes=MAX_MESSAGE_BYTES, tell=Opening(keys), why=took.why)
    server.add(add_StateServiceServicer_to_server, StateServicer(state, watched.watching))
    await keys.start()
    await mirror.open(await jetstream.last_sequence())
    await follower.start()
    await follower.caught_up(600.0)
    await server.start()
    taking, forgetting = snapshots.taking(follower), kept_for(contents, settings.artifact_days, process.now)
    async with taking, kept_up(follower, mirror, server.set_serving), watchers.judging(), forgetting, losing:
        await stopping.wait()
        turns.close()
        await server.stop()
    for stop in (follower.stop, client.aclose, keys.stop, connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
