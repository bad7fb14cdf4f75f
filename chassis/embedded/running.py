"""One run of everything on this machine: started in order, kept running, stopped."""

import asyncio
import signal
from collections.abc import Mapping

from chassis import process
from chassis.embedded import keys, servers
from chassis.embedded.certs import Certs
from chassis.embedded.children import Program
from chassis.embedded.drill import Drill
from chassis.embedded.greeting import greeting, say
from chassis.embedded.place import Place
from chassis.embedded.settings import Settings
from chassis.embedded.subscribers import ensure_mirrors, of_tenants, tenants_in
from chassis.embedded.supervisor import StartFailed, Supervisor


async def supervise(
    settings: Settings, place: Place, made: keys.Keys, drilling: bool, stopping: process.Stopping
) -> None:
    """Start everything, tell where it is, keep it running, stop it; when `drilling`, only for the amnesia drill."""
    from chassis.embedded import services

    begun = process.monotonic()
    openbao, vault = _openbao(settings, place, made)
    certs = Certs(place.home) if settings.tls else None
    if certs is not None:
        await certs.make()
        settings = settings.model_copy(update=certs.fields())
    keys_of = place.home / "keys" / "subscribers"
    outside = of_tenants(tenants_in(settings.subscribers), keys_of, servers.HOST, settings.nats_port)
    witnesses = settings.ledger_witnesses
    if settings.witness:
        witnesses = services.witness_of(settings, witnesses)
    supervisor = Supervisor(
        [
            [
                servers.nats(
                    place.home, settings.nats_port, made.nats, certs.directory if certs else None, outside
                ),
                servers.store(place.home, settings.store_port, made.store),
                *openbao,
                # Before the ledger, which reads its key when it starts.
                *([services.witness(settings, settings.witness_logs)] if settings.witness else []),
            ],
            services.programs(
                settings,
                made,
                settings.api_keys.get_secret_value(),
                settings.admin_keys.get_secret_value(),
                witnesses,
                vault,
                certs.environment(settings.nats_port) if certs else None,
            ),
        ],
        place.logs,
        say,
    )

    def announce() -> None:
        place.announce(settings, made.api_file, supervisor.pids())

    drill = Drill(supervisor, settings, made, place.home, say)
    drills: list[asyncio.Task[bool]] = []

    def begin_drill() -> None:
        if supervisor.started and all(each.done() for each in drills):
            drills.append(asyncio.create_task(drill.run()))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, stopping.set)  # the terminal was closed
    loop.add_signal_handler(signal.SIGUSR1, begin_drill)
    say(f"Provost starts; its data is in {place.home}")
    asked = asyncio.ensure_future(stopping.wait())
    keeping = [asyncio.create_task(certs.keep(lambda: supervisor.pids().get("nats-server")))] if certs else []
    starting = asyncio.ensure_future(supervisor.start())
    try:
        await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await ensure_mirrors(outside, servers.HOST, settings.nats_port, public=settings.public_events)
            announce()
            supervisor.changed = announce
            if drilling:
                begin_drill()
                await asyncio.wait({asked, *drills}, return_when=asyncio.FIRST_COMPLETED)
            else:
                say(greeting(settings, made, place, process.monotonic() - begun))
                await asked
        say("\nProvost stops …")
        for each in (starting, *drills, *keeping):
            each.cancel()
            await asyncio.wait({each})
        await supervisor.stop()
        say("Stopped. Everything is kept; the next start goes on from here.")
        if drilling and not (
            drills and drills[0].done() and not drills[0].cancelled() and drills[0].result()
        ):
            raise SystemExit(1)
    except StartFailed as failed:
        await supervisor.stop()
        raise SystemExit(f"\n{failed}\n\nProvost could not start.") from None
    except BaseException:
        starting.cancel()
        supervisor.kill()
        raise


def _openbao(
    settings: Settings, place: Place, made: keys.Keys
) -> tuple[list[Program], Mapping[str, str] | None]:
    """The Vault of this run, and what services are told of it; without one, neither."""
    if not settings.vault:
        return [], None
    from chassis.embedded import bao

    return (
        [bao.bao(place.home, settings.vault_port, made)],
        bao.environment(place.home, settings.vault_port),
    )
