"""A process takes its own secrets from Vault before it does anything else, and waits until it can.

Without `VAULT_URL` nothing here does anything: settings are what the environment says.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from chassis import process, telemetry
from chassis.config import ServiceSettings
from chassis.rpc.waiting import Waiting
from chassis.vault.entry import AppRole, Entry, TokenFile
from kernel.faults import Unavailable

if TYPE_CHECKING:
    from chassis.vault.client import Vault
    from chassis.vault.lent import Lent

S = TypeVar("S", bound=ServiceSettings)
AGAIN_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 4.0
INTERNAL, LOG, STORE = "services/internal", "services/nats", "services/dragonfly"
"""Where in KV each secret is: the key between processes (`key`), what opens the event log and the store (`url`, or
`password` and perhaps `username`, which go into the URL that is set)."""
_log = telemetry.get_logger("chassis.vault")


@dataclass(frozen=True, slots=True)
class Taken(Generic[S]):
    """Settings with what Vault has in them, and the Vault, if there is one."""

    settings: S
    vault: "Vault | None" = None
    _lent: "list[Lent]" = field(default_factory=list)

    def why(self) -> str:
        """What is wrong with Vault at this moment; nothing when nothing is."""
        return f"Vault: {self.vault.trouble}" if self.vault is not None and self.vault.trouble else ""

    async def lent(self, path: str) -> "Lent | None":
        """Credentials that Vault makes for this process, kept good; None: `path` is empty.

        Raises:
            Unavailable (`VAULT_UNREACHABLE`)
        """
        if self.vault is None or not path:
            return None
        from chassis.vault.lent import Lent

        lent = Lent(self.vault, path)
        await lent.start()
        self._lent.append(lent)
        return lent

    async def stop(self) -> None:
        """Give back what was lent."""
        for each in self._lent:
            await each.stop()
        if self.vault is not None:
            await self.vault.stop()


async def taken(
    settings: S, service: str, stopping: process.Stopping, *, store: bool = False, listens: bool = True
) -> Taken[S]:
    """`settings` with the secrets that Vault has for `service`.

    Waits as long as it takes; meanwhile health says NOT_SERVING, and why. What Vault does not have stays as it was set.
    A process that is asked to stop while it waits ends here. Without `VAULT_URL` it answers at once.
    """
    if not settings.vault_url:
        return Taken(settings)
    from chassis.vault.client import Vault

    vault = Vault(settings.vault_url, entry_of(settings, service), settings.vault_ca_file)
    pause = AGAIN_SECONDS
    async with Waiting(settings, service if listens else "") as waiting:
        while True:
            try:
                await vault.start()
                return Taken(await _filled(settings, vault, log=listens, store=store), vault)
            except Unavailable as fault:
                if fault.text != waiting.why:
                    _log.warning("waiting for Vault", why=fault.text)
                waiting.why = fault.text
            try:
                # A cluster that starts asks all at once: who gets no answer in time must not keep it from others.
                async with asyncio.timeout(pause / 2 + process.jitter(pause / 2)):
                    await stopping.wait()
            except TimeoutError:
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            raise SystemExit(0)


def entry_of(settings: ServiceSettings, service: str) -> Entry:
    """What `service` shows Vault: a token from a file where one is named, else the two halves of its AppRole."""
    if settings.vault_token_file is not None:
        return TokenFile(settings.within_home(settings.vault_token_file))
    halves = (settings.vault_role_id_file, settings.vault_secret_id_file)
    role_id, secret_id = (
        settings.within_home(type(each)(str(each).format(service=service))) for each in halves
    )
    return AppRole(role_id, secret_id)


async def _filled(settings: S, vault: "Vault", *, log: bool, store: bool) -> S:
    found: dict[str, object] = {}
    if internal := await vault.secret(INTERNAL):
        found["internal_key"] = SecretStr(internal["key"])
    if log and (of_log := await vault.secret(LOG)):
        found["nats_url"] = _with(settings.nats_url, of_log)
    if store and (of_store := await vault.secret(STORE)):
        found["store_url"] = SecretStr(_with(settings.store_url.get_secret_value(), of_store))
    return settings.model_copy(update=found)


def _with(url: str, said: Mapping[str, str]) -> str:
    """`url` as Vault has it, or with the user and password that Vault has."""
    if "url" in said:
        return said["url"]
    parts = urlsplit(url)
    user, password = (quote(said.get(part, ""), safe="") for part in ("username", "password"))
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
