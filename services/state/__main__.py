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
from services.state.adapters import LogHistory, RedisStore, SequencingLog, artifacts_in, kept_for, kept_over
from services.state.adapters.naming import NamedSnapshots
from services.state.config import StateSettings
from services.state.domain.view import View
from services.state.handlers import State, Turns, Vigil
from services.state.reactor import HeldSets, Reactor, Sharing, StoreAudit, StoreMirror, Watched, Watchers
from services.state.reactor.health import followed, kept_up
from services.state.reactor.snapshots import SnapshotKeeper
from services.state.rpc import MAX_MESSAGE_BYTES, StateServicer
from services.state.wire import CODEC, FILTERS


async def main(stopping: process.Stopping) -> None:
    settings = (took := await begun(StateSettings, "state", stopping, store=True)).settings
    connection, keys = await opened(settings, "state")
    jetstream = JetStreamLog(connection, CODEC, source="provost/state")
    view, (kept, every) = View(), kept_over(SequencingLog(jetstream), CODEC)
    sets, own = HeldSets(connection, settings.stuck_seconds), certificates.of(settings, "state")
    derived = RedisStore(client := store.connect(settings.store_url.get_secret_value(), certificates=own))
    mirror = StoreMirror(view, derived, now=process.now, new_mark=process.new_id)
    watchers = Watchers(vigil := Vigil(kept, mirror, process, sets.patience_seconds), turns := Turns())
    watched = Watched(view, lambda upto: follower.reached(upto), jetstream.last_sequence)  # noqa: PLW0108 - made below
    reactor = Reactor((watched, *every, Sharing(kept, view), watchers), view, mirror)
    contents, lying = await artifacts_in(settings.artifacts, settings.directories, connection, process.new_id)
    snapshots = SnapshotKeeper(view, every, lying, NamedSnapshots(connection, jetstream, CODEC), process.now)
    upto = await snapshots.load(await jetstream.last_sequence())
    watched.watching.begin()
    followed_by = Follower(connection, FILTERS, upto, reactor.deliver, "state", gather_seconds=0.03)
    follower = reactor.led_by(followed_by, alone=settings.alone)
    audit = StoreAudit(view, derived, mirror, LogHistory(jetstream, FILTERS), follower, process.now)
    state = State(kept, view, mirror, audit, follower, contents, vigil, turns, process, sets)
    reactor.also(losing := powers.Powers(connection, settings, "state", state.losing.surfaces, follower))
    server = Server(settings, "state", max_message_bytes=MAX_MESSAGE_BYTES, tell=Opening(keys), why=took.why)
    server.add(add_StateServiceServicer_to_server, StateServicer(state, watched.watching))
    await keys.start()
    await mirror.open(await jetstream.last_sequence())
    await followed(*(followers := (sets.follower, follower)))
    await server.start()
    taking, aging = snapshots.taking(follower), kept_for(contents, settings.artifact_days, process.now, view)
    async with taking, kept_up(followers, mirror, server.set_serving), watchers.judging(), aging, losing:
        await stopping.wait()
        turns.close()
        await server.stop()
    for stop in (*(each.stop for each in followers), client.aclose, keys.stop, connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main)
