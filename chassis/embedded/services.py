"""The processes of Provost itself: how each is started, what it is told, and how to tell that it is healthy."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from chassis.config import ServiceSettings
from chassis.embedded import servers
from chassis.embedded.children import Program, Ready
from chassis.embedded.environment import USES, passed_on
from chassis.embedded.keys import Keys
from chassis.embedded.ports import Port
from chassis.rpc.itself import Itself

# In the order in which they are listed; they are stopped in the reverse of it.
MODULES: Mapping[str, str] = {
    "ledger": "services.ledger",
    "state": "services.state",
    "policy": "services.policy",
    "actuators": "services.orchestrator.actuators",
    "agents": "services.orchestrator.agents",
    "orchestrator": "services.orchestrator",
    "gateway": "services.gateway",
}
WITH_PORT = tuple(name for name in MODULES if name != "agents")


def _settings_module(module: str) -> str:
    return ".".join(module.split(".")[:2]) + ".config"


# Which modules hold their settings.
_SETTINGS = (
    *dict.fromkeys(map(_settings_module, MODULES.values())),
    "services.ledger.witness.config",
)
FITTED: Mapping[str, str] = {
    # One thread less between a socket and the event loop: a call costs a fifth less.
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    # What is forked here becomes another program at once; gRPC's own care for forks has brought such a child down.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "MALLOC_ARENA_MAX": "2",  # gRPC's threads would otherwise each keep tens of megabytes of heap
}
"""What libraries are told in the environment of each of our processes; the Dockerfile tells them the same."""
# All that a witness is told: it shares no secret with anyone.
_WITNESSES_OWN = ("PROVOST_WITNESS", "PROVOST_LISTEN_HOST", "PROVOST_SHUTDOWN", "PROVOST_CLOCK", "LOG_")


def settings_classes() -> Sequence[type[ServiceSettings]]:
    """What each process will read its settings with, so that a mistake is told before anything is started."""
    return [_settings_in(name) for name in _SETTINGS]


def _settings_in(module: str) -> type[ServiceSettings]:
    return next(
        found
        for found in vars(importlib.import_module(module)).values()
        if isinstance(found, type) and issubclass(found, ServiceSettings) and found.__module__ == module
    )


def witness(settings: ServiceSettings, logs: str) -> Program:
    """The witness beside the ledger, which watches `logs` too. It is told where the log's keys are, and no secret."""
    home = settings.home.resolve()
    kept = {name: value for name, value in os.environ.items() if name.startswith(_WITNESSES_OWN)}
    ours = {
        "PROVOST_HOME": str(home),
        "PROVOST_WITNESS_LOGS": _and(logs, f"@{home / 'ledger' / 'witnessed' / 'vkeys'}"),
        "MALLOC_ARENA_MAX": "2",
    }
    return Program(
        name="witness",
        command=(sys.executable, "-m", "services.ledger.witness"),
        ready=servers.answers_http(settings.witness_port, "/healthz"),
        environment=servers.bare_environment(**kept | ours),
        stop_seconds=settings.shutdown_seconds + 2.0,
    )


def witness_of(settings: ServiceSettings, others: str) -> str:
    """`PROVOST_LEDGER_WITNESSES` with that witness behind `others`."""
    address = f"http://{servers.HOST}:{settings.witness_port}"
    return _and(others, f"{address} @{settings.home.resolve() / 'witness' / 'vkey'}")


def programs(
    settings: ServiceSettings,
    keys: Keys,
    api_keys: str,
    admin_keys: str,
    witnesses: str = "",
    vault: Mapping[str, str] | None = None,
    tls: Mapping[str, str] | None = None,
) -> Sequence[Program]:
    """One program for each process, told by its environment alone: the secrets it uses; with a `vault`, none of them.

    `tls` is where their certificates are, and NATS, which then speaks nothing else.
    """
    secrets = _secrets(settings, keys)
    own = {
        "ledger": {"PROVOST_LEDGER_WITNESSES": witnesses},
        "gateway": {"API_KEYS": keys.api_keys(api_keys), "ADMIN_KEYS": keys.admin_keys(admin_keys)},
    }

    def told(name: str, module: str) -> Mapping[str, str]:
        used = (
            {each: secrets[each] for each in ("PROVOST_INTERNAL_KEY", *USES[name])}
            if vault is None
            else vault
        )
        given = passed_on(name, _settings_in(_settings_module(module)))
        return {
            **given, **_shared_environment(settings), **_places(settings), **used, **(tls or {}), **own.get(name, {})
        }  # fmt: skip

    return [
        Program(
            name=name,
            command=(sys.executable, "-m", module),
            ready=_healthy(settings, name) if name in WITH_PORT else _running,
            environment=told(name, module),
            stop_seconds=settings.shutdown_seconds + 2.0,
        )
        for name, module in MODULES.items()
    ]


def ports(settings: ServiceSettings, *, witnessed: bool = False, vault_port: int = 0) -> Sequence[Port]:
    """Every port of an embedded run; `vault_port` 0: without OpenBao."""
    ours = [Port(settings.witness_port, "PROVOST_WITNESS_PORT", "the witness")] if witnessed else []
    ours += [Port(vault_port, "PROVOST_VAULT_PORT", "OpenBao")] if vault_port else []
    return [*_serving(settings), *ours, *_metrics(settings)]


def _serving(settings: ServiceSettings) -> Sequence[Port]:
    return [
        Port(settings.nats_port, "PROVOST_NATS_PORT", "NATS"),
        Port(settings.store_port, "PROVOST_STORE_PORT", "the store"),
        Port(settings.http_port, "PROVOST_HTTP_PORT", "the API"),
        *(Port(settings.port(name), f"PROVOST_{name.upper()}_PORT", f"{name} (gRPC)") for name in WITH_PORT),
    ]


def _metrics(settings: ServiceSettings) -> Iterator[Port]:
    for name in WITH_PORT:
        setting = f"PROVOST_{name.upper()}_PORT"
        if number := settings.metrics_port_of(name):
            hint = f"set {setting} to another (its metrics are 2000 above), or PROVOST_METRICS_PORT=0"
            yield Port(number, setting, f"{name}'s metrics", hint)


def _secrets(settings: ServiceSettings, keys: Keys) -> Mapping[str, str]:
    return {
        "PROVOST_INTERNAL_KEY": keys.internal,
        "PROVOST_NATS_URL": servers.nats_url(settings.nats_port, keys.nats),
        "PROVOST_STORE_URL": servers.store_url(settings.store_port, keys.store),
    }


def _places(settings: ServiceSettings) -> Mapping[str, str]:
    """Where those are, without what opens them."""
    return {
        "PROVOST_INTERNAL_KEY": "",
        "PROVOST_NATS_URL": f"nats://{servers.HOST}:{settings.nats_port}",
        "PROVOST_STORE_URL": f"redis://{servers.HOST}:{settings.store_port}/0",
    }


def _shared_environment(settings: ServiceSettings) -> Mapping[str, str]:
    numbers = {port.setting: str(port.number) for port in _serving(settings)}
    ours = {"PROVOST_HOME": str(settings.home.resolve()), "PROVOST_ALONE": "true"}
    return {**numbers, **ours, **FITTED}


def _and(given: str, ours: str) -> str:
    """A comma list with one more in it."""
    return ",".join([*filter(None, (given.strip().strip(","),)), ours])


async def _running() -> bool:
    return True


def _healthy(settings: ServiceSettings, name: str) -> Ready:
    itself = Itself(settings, name, servers.HOST)

    async def healthy() -> bool:
        return await itself.serving(servers.ANSWER_SECONDS)

    return healthy
