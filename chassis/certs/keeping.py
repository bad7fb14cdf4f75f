"""One service's three files: issued when they are missing or of little life, put where the service looks for them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from chassis import files, process, telemetry
from chassis.vault.pki import Issued
from kernel.faults import Fault

LOOK_SECONDS = 30.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
_log = telemetry.get_logger("chassis.certs")


class Keeping:
    """`issue` makes new ones; `now` says what time it is."""

    def __init__(
        self,
        service: str,
        places: Sequence[Path],
        issue: Callable[[], Awaitable[Issued]],
        now: Callable[[], datetime] = process.now,
    ) -> None:
        self._service = service
        self._certificate, self._key, self._authority = places
        self._issue = issue
        self._now = now

    async def for_ever(self) -> None:
        """Renew whenever it is due; what fails is told, and tried again with growing pauses."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.once()
            except (Fault, OSError) as problem:
                _log.error("certificate not renewed", service=self._service, why=str(problem))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS
                await asyncio.sleep(LOOK_SECONDS)

    async def once(self) -> bool:
        """Whether there is a new one now: there was none, or two thirds of its life were over.

        Raises:
            Unavailable: there is none to be had now.
            OSError: it cannot be put there.
        """
        if not self.due():
            return False
        made = await self._issue()
        # The certificate last: a key without its certificate is not taken up by who reads in between.
        for place, content in (
            (self._authority, made.authority),
            (self._key, made.key),
            (self._certificate, made.certificate),
        ):
            files.private_directory(place.parent)
            files.replace(place, content)
        _log.info("certificate issued", service=self._service, until=str(self._ends(made.certificate)))
        return True

    def due(self) -> bool:
        try:
            shown = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        except (OSError, ValueError):
            return True
        begins, ends = shown.not_valid_before_utc, shown.not_valid_after_utc
        return self._now() >= ends - (ends - begins) / 3 or not self._key.exists()

    @staticmethod
    def _ends(certificate: bytes) -> datetime:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc
