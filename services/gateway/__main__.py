"""The gateway's composition root."""

import asyncio
from functools import partial
from importlib.metadata import version

from chassis import process, store, telemetry
from chassis.beginning import begun
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.opened import connected
from chassis.eventlog.stream import stream_state
from chassis.tls import certificates
from services.gateway.adapters.doors import doors_at
from services.gateway.adapters.meter import StoreMeter
from services.gateway.adapters.peers import PassThrough, peers_at
from services.gateway.adapters.probe import Ask, EverythingProbe, watched
from services.gateway.adapters.refusals import RefusalLog
from services.gateway.config import GatewaySettings
from services.gateway.handlers import Gateway
from services.gateway.handlers.places import LargePlaces
from services.gateway.rpc.server import front_server
from services.gateway.web.app import build
from services.gateway.web.routes.about import About
from services.gateway.web.server import HttpServer
from services.gateway.wire.events import CODEC


async def main(stopping: process.Stopping) -> None:
    took = await begun(GatewaySettings, "gateway", stopping, store=True)
    settings = took.settings
    nats = await connected(settings, "gateway")
    own = certificates.of(settings, "gateway")
    log = JetStreamLog(nats, CODEC, source="provost/gateway")
    rates = store.connect(settings.store_url.get_secret_value(), timeout_seconds=0.25, certificates=own)
    peers = peers_at(settings.addresses(), settings.internal_key.get_secret_value(), own)

    keyring = settings.keyring()
    refusals = RefusalLog(log, process.new_id(), keyring.shown)
    meter = StoreMeter(rates, settings.rate_limit_requests, settings.rate_limit_window_seconds)
    others: dict[str, Ask] = {"nats": partial(stream_state, nats, patience_seconds=1.0), "store": rates.ping}
    probe = EverythingProbe(version("provost"), watched(peers, settings.addresses()), others)
    gateway = Gateway(keyring, meter, refusals, probe, *doors_at(peers), settings.public_log)

    large = LargePlaces()
    front = front_server(settings, gateway, PassThrough(peers), large)
    app = build(gateway, About(version=version("provost"), **settings.public()), large)
    shown = certificates.of_gateway(settings)
    web = HttpServer(app, settings.listen_host, settings.http_port, settings.shutdown_seconds, shown)
    if keyring.warning:
        telemetry.get_logger("gateway").warning(keyring.warning)
    await refusals.start()
    await front.start()
    await web.start()
    await front.set_serving(True)
    await stopping.wait()
    await asyncio.gather(front.stop(), web.stop())
    await refusals.stop()
    await asyncio.gather(nats.close(), rates.aclose(), took.stop())


if __name__ == "__main__":
    process.run(main)
