"""What Vault makes for one process and takes back: renewed while it can be, asked for anew before it runs out."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chassis import process, telemetry
from chassis.vault.client import Vault
from kernel.faults import Unavailable

AGAIN_SECONDS = 1.0
REFUSED_SECONDS = 5.0
"""Others are asked for no sooner than so long after these: whoever refuses them may refuse any."""
SHORT = 0.75
"""A renewal that lasts less than so much of what it was lent for at first: there are not many left."""
_log = telemetry.get_logger("chassis.vault")


class Lent:
    """Credentials from `path`, as `database/creds/ledger`. What was lent before runs out by itself, later."""

    def __init__(self, vault: Vault, path: str) -> None:
        self._vault = vault
        self._path = path
        self._current: Mapping[str, str] = {}
        self._lease_id = ""
        self._seconds = 0.0
        self._taken_at = 0.0
        self._renew_at = 0.0
        self._refused = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def __call__(self) -> Mapping[str, str]:
        """What is good at this moment, as `username` and `password`."""
        return self._current

    def refused(self, username: str) -> None:
        """They are good no longer, as when somebody has taken the lease back: others are asked for at once."""
        if username == self._current.get("username"):
            self._lease_id = ""
            self._renew_at = min(self._renew_at, self._taken_at + REFUSED_SECONDS)
            self._refused.set()

    async def start(self) -> None:
        """Take them, and keep them good. Raises Unavailable (`VAULT_UNREACHABLE`)."""
        await self._take()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})

    async def _take(self) -> None:
        lent = await self._vault.read(self._path)
        if lent is None:
            why = f"Vault at {self._vault.url} has nothing at {self._path}"
            raise Unavailable("VAULT_UNREACHABLE", why, vault=self._vault.url)
        self._current = {name: str(value) for name, value in lent["data"].items()}
        self._lease_id = str(lent["lease_id"])
        self._seconds = float(lent["lease_duration"])
        self._taken_at = process.monotonic()
        self._until(lent)

    async def _renew(self) -> None:
        asked = {"lease_id": self._lease_id, "increment": int(self._seconds)}
        self._until(await self._vault.write("sys/leases/renew", asked))

    def _until(self, lease: Mapping[str, Any]) -> None:
        seconds = float(lease["lease_duration"])
        self._renew_at = process.monotonic() + seconds / 2
        if seconds < SHORT * self._seconds:
            self._lease_id = ""

    async def _keep(self) -> None:
        while True:
            while (left := self._renew_at - process.monotonic()) > 0:
                self._refused.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._refused.wait()
            try:
                if self._lease_id:
                    await self._renew()
                if not self._lease_id:
                    await self._take()
                    _log.info("new credentials", path=self._path)
            except Unavailable as fault:
                # The lease may have been taken back: then others are asked for.
                self._lease_id = ""
                _log.warning("credentials not renewed", path=self._path, why=fault.text)
                await asyncio.sleep(AGAIN_SECONDS)
