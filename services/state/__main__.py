"""State's composition root."""

from chassis import metrics, process, store, telemetry
from chassis.config import load
from chassis.eventlog.follower import Follower
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import opened
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from provost.state.v1.state_pb2_grpc import add_StateServiceServicer_to_server
from services.state.adapters import ArtifactDirectory, LogHistory, RedisStore, SequencingLog, kept_over
from services.state.adapters.forgetting import kept_for
from services.state.config import StateSettings
from services.state.domain.view import View
from services.state.handlers import State, Turns, Vigil
from services.state.reactor import Reactor, StoreAudit, StoreMirror, Watched, Watchers, kept_up
from services.state.rpc import MAX_MESSAGE_BYTES, StateServicer
from services.state.wire import CODEC, FILTERS


async def main(stopping: process.Stopping) -> None:
    settings = load(StateSettings)
    telemetry.configure("state", settings)
    metrics.serve(settings.metrics_port_of("state"))
    connection, keys = await opened(settings, "state")
    jetstream = JetStreamLog(connection, CODEC, source="provost/state")
    log, view = SequencingLog(jetstream), View()
    kept, every = kept_over(log, CODEC)
    client = store.connect(settings.store_url.get_secret_value())
    derived = RedisStore(client)
    mirror = StoreMirror(view, derived, now=process.now, new_mark=process.new_id)
    vigil, turns = Vigil(kept, mirror, process, settings.stuck_seconds), Turns()
    watchers = Watchers(vigil, turns)
    watched = Watched(view, lambda upto: follower.reached(upto), jetstream.last_sequence)  # noqa: PLW0108 - made below
    reactor = Reactor((watched, *every, watchers), view, mirror)
    follower = Follower(connection, FILTERS, 0, reactor.deliver, "state", gather_seconds=0.03)
    audit = StoreAudit(view, derived, mirror, LogHistory(jetstream, FILTERS), follower, process.now)
    contents = ArtifactDirectory(settings.artifacts, process.new_id)
    state = State(kept, view, mirror, audit, follower, contents, vigil, turns, process)

    server = Server(settings, "state", max_message_bytes=MAX_MESSAGE_BYTES, tell=Opening(keys))
    server.add(add_StateServiceServicer_to_server, StateServicer(state, watched.watching))
    await keys.start()
    await mirror.open(await jetstream.last_sequence())
    await follower.start()
    await follower.caught_up()
    await server.start()
    forgetting = kept_for(contents, settings.artifact_days, process.now)
    async with kept_up(follower, mirror, server.set_serving), watchers.judging(), forgetting:
        await stopping.wait()
        turns.close()
        await server.stop()
    for stop in (follower.stop, client.aclose, keys.stop, connection.close):
        await stop()


if __name__ == "__main__":
    process.run(main)
