"""How every process begins: its settings, its logs and metrics, and its own secrets from Vault if there is one."""

from typing import TypeVar

from chassis import metrics, process, telemetry
from chassis.config import ServiceSettings, load
from chassis.tls.waiting import ready
from chassis.vault.taking import Taken, taken

S = TypeVar("S", bound=ServiceSettings)


async def begun(
    settings: type[S], name: str, stopping: process.Stopping, *, store: bool = False, listens: bool = True
) -> Taken[S]:
    """What process `name` works with. `store`: it uses the store; `listens`: it has a port of its own.

    Returns once it has a certificate, where files of one are set, and Vault has answered, where one is set. A mistake
    in the settings ends the process (`config.load`).
    """
    loaded = load(settings)
    telemetry.configure(name, loaded)
    if listens:
        metrics.serve(loaded.metrics_port_of(name), loaded.listen_host)
    await ready(loaded, name, stopping)
    return await taken(loaded, name, stopping, store=store, listens=listens)
