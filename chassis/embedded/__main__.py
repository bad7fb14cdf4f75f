"""`python -m chassis.embedded`: all of Provost on this machine, until Ctrl-C.

With `--amnesia`: the amnesia drill, in the run that is there, or in one made for it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from chassis import config, process, telemetry
from chassis.config import LlmEndpoint, OpaEndpoint, RequireLicense, ServiceSettings
from chassis.embedded import keys, ports, servers
from chassis.embedded.certs import Certs
from chassis.embedded.children import Program
from chassis.embedded.drill import Drill, ask_for_drill
from chassis.embedded.place import Occupied, Place
from chassis.embedded.subscribers import ensure_mirrors, of_tenants, tenants_in
from chassis.embedded.supervisor import StartFailed, Supervisor
from kernel.faults import Invalid


class Settings(ServiceSettings):
    """Of the services' settings, those to which an embedded run adds its own keys, and those that this version
    does not honour: they are refused here, before anything is started."""

    api_keys: SecretStr = Field(SecretStr(""), alias="API_KEYS")
    admin_keys: SecretStr = Field(SecretStr(""), alias="ADMIN_KEYS")
    llm_endpoint: LlmEndpoint = ""
    opa_endpoint: OpaEndpoint = ""
    tls: bool = Field(False, alias="PROVOST_TLS")
    vault: bool = Field(False, alias="PROVOST_VAULT")
    vault_port: int = Field(8200, alias="PROVOST_VAULT_PORT", ge=1, le=65535)
    require_license: RequireLicense = False
    witness: bool = Field(False, alias="PROVOST_WITNESS")
    witness_logs: str = Field("", alias="PROVOST_WITNESS_LOGS")
    ledger_witnesses: str = Field("", alias="PROVOST_LEDGER_WITNESSES")
    public_events: bool = Field(False, alias="PROVOST_PUBLIC_EVENTS")
    subscribers: str = Field("", alias="PROVOST_SUBSCRIBERS")

    @field_validator("subscribers")
    @classmethod
    def _tenants(cls, value: str, info: ValidationInfo) -> str:
        try:
            given = tenants_in(value)
        except Invalid as fault:
            raise ValueError(fault.text) from None
        if given and info.data.get("tls"):
            raise ValueError(
                "with PROVOST_TLS readers have certificates: see deploy/nats/subscriber.conf.template"
            )
        return value

    @field_validator("vault")
    @classmethod
    def _one_vault(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("vault_url"):
            raise ValueError("runs an OpenBao here, and VAULT_URL names another Vault: set one of them")
        return value

    @field_validator("tls")
    @classmethod
    def _own_certificates(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("tls_cert_file"):
            raise ValueError(
                "makes certificates here, and PROVOST_TLS_CERT_FILE names others: set one of them"
            )
        return value

    @property
    def own_vault_port(self) -> int:
        """Where OpenBao listens; 0: there is none here."""
        return self.vault_port if self.vault else 0

    @field_validator("metrics_port")
    @classmethod
    def _one_for_each(cls, value: int | None) -> int | None:
        if value:
            raise ValueError("can only be 0 here: each process offers its metrics 2000 above its port")
        return value


say: Callable[[str], None] = partial(print, flush=True)


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
                tell(settings, made, place, process.monotonic() - begun)
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


def tell(settings: Settings, made: keys.Keys, place: Place, seconds: float) -> None:
    """What someone who has just started Provost wants to know."""
    program = Path(sys.executable).parent / "provost"
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    watched = f"\n  witness       http://127.0.0.1:{settings.witness_port}" if settings.witness else ""
    for tenant in tenants_in(settings.subscribers):
        watched += f"\n  subscribe     {place.home / 'keys/subscribers' / f'{tenant}.url'}   (NATS, of tenant {tenant})"
    watched += f"\n  OpenBao       http://127.0.0.1:{settings.vault_port}" if settings.vault else ""
    example = next(iter(sorted(Path("examples").glob("*.log"))), Path("FILE.log"))
    say(
        f"""
Provost is up after {seconds:.1f} s.

  API           http://127.0.0.1:{settings.http_port}   (try /docs)
  gRPC          127.0.0.1:{settings.gateway_port}{watched}
  operator key  {made.api["operator"]}
  approver key  {made.api["approver"]}
  all keys      {made.api_file}
  data          {place.home}
  logs          {place.logs}

Try, in another terminal:
  {program} process {example}

Ctrl-C stops it."""
    )


def main() -> None:
    drilling = sys.argv[1:] == ["--amnesia"]
    if sys.argv[1:] and not drilling:
        raise SystemExit("python -m chassis.embedded [--amnesia]")
    os.umask(0o077)
    # Children are forked, and gRPC's own handlers for that are of no use between fork and exec.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from chassis.embedded import services

    settings = config.load(Settings, services.settings_classes())
    telemetry.configure("supervisor", settings)
    try:
        with Place(settings.home) as place:
            taken = list(
                ports.troubles(
                    settings.listen_host,
                    services.ports(settings, witnessed=settings.witness, vault_port=settings.own_vault_port),
                )
            )
            if taken:
                raise SystemExit("\n".join(["Provost cannot start:", *(f"  {line}" for line in taken)]))
            made = keys.load_or_create(place.home / "keys")
            process.run(partial(supervise, settings, place, made, drilling))
    except Occupied as occupied:
        if not drilling:
            raise SystemExit(str(occupied)) from None
        raise SystemExit(0 if ask_for_drill(settings.home.resolve()) else 1) from None
    except (PermissionError, ValueError) as trouble:
        raise SystemExit(f"Provost cannot start: {trouble}") from None


if __name__ == "__main__":
    main()
