"""A process that is to show a certificate waits for one: whoever issues it may start later."""

import asyncio

from chassis import process, telemetry
from chassis.config import ServiceSettings
from chassis.tls import certificates

AGAIN_SECONDS = 0.5
_log = telemetry.get_logger("chassis.tls")


async def ready(settings: ServiceSettings, service: str, stopping: process.Stopping) -> None:
    """Return when `service` has a certificate that is good now; at once where none are set.

    A process that is asked to stop while it waits ends here.
    """
    own = certificates.of(settings, service)
    told = ""
    while own is not None and (why := own.trouble()):
        if why != told:
            _log.warning("waiting for a certificate", why=why)
            told = why
        try:
            async with asyncio.timeout(AGAIN_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue
        raise SystemExit(0)
