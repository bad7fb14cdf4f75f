"""One process's way to Vault: logged in, its token renewed, every call with a deadline.

hvac waits for its answers, so it does so in threads of its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import hvac  # type: ignore[import-untyped]
import requests
from hvac import exceptions

from chassis import process, telemetry
from chassis.vault.entry import Entry
from kernel.faults import Unavailable

Answer = Mapping[str, Any]
T = TypeVar("T")
DEADLINE_SECONDS = 3.0
LOOK_SECONDS = 1.0
_THREADS = 8
_FOR_EVER_SECONDS = 3600.0
_NO_ANSWER: Answer = {}
_MYSELF = "auth/token/lookup-self"
_log = telemetry.get_logger("chassis.vault")


class Refused(Unavailable):
    """Vault says no: what was shown is not good, or what is asked makes no sense to it. Says nothing of what it was.

    Whoever does not expect that passes it on, as something that cannot be done now.
    """

    def __init__(self, url: str) -> None:
        super().__init__("VAULT_UNREACHABLE", f"Vault at {url} refuses what it was shown", vault=url)


class Vault:
    """Implements nothing but what it says; `look` from `start` to `stop` keeps the token alive and `trouble` true."""

    def __init__(
        self,
        url: str,
        entry: Entry,
        ca_file: Path | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self.trouble = "it was not asked yet"
        """Why it cannot be used at this moment; empty when it can."""
        self._entry = entry
        self._deadline_seconds = deadline_seconds
        self._look_seconds = look_seconds
        self._pool = ThreadPoolExecutor(_THREADS, "vault")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy shall see what is said here
        self._session.verify = True if ca_file is None else str(ca_file)
        self._token = ""
        self._renew_at = 0.0
        self._renewable = True
        self._logging_in = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Log in, and stay so. May be repeated, after a failure or without one.

        Raises:
            Unavailable (`VAULT_UNREACHABLE`): it is sealed, does not answer, or does not let this process in.
        """
        await self._log_in("")
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Give the token back, and with it all that was lent to it; it would run out by itself."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
            if self._renewable and not self.trouble:
                try:
                    await self.write_as(self._token, "auth/token/revoke-self")
                except Unavailable as problem:
                    _log.info("the token is left to run out", why=str(problem))
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def read(self, path: str) -> Answer | None:
        """What is at `path`; None: nothing is.

        Raises:
            Refused
            Unavailable (`VAULT_UNREACHABLE`)
        """
        return await self._as_myself(lambda client: _answer(client.read(path)))

    async def secret(self, name: str, mount: str = "secret") -> Mapping[str, str] | None:
        """The newest version of a secret (KV, version 2); None: there is none (any more). Raises as `read` does."""
        found = await self.read(f"{mount}/data/{name}")
        data = found and found["data"]["data"]
        return None if data is None else {key: str(value) for key, value in data.items()}

    async def write(self, path: str, data: Mapping[str, Any] | None = None, wrap_seconds: int = 0) -> Answer:
        """Write, or ask with, `data`; nothing when there is no answer. Raises as `read` does."""
        ttl = f"{wrap_seconds}s" if wrap_seconds else None
        return await self._as_myself(
            lambda client: _answer(client.write_data(path, data=dict(data or {}), wrap_ttl=ttl)) or _NO_ANSWER
        )

    async def write_as(self, token: str, path: str, data: Mapping[str, Any] | None = None) -> Answer:
        """As `write`, with another token; with none, as nobody."""
        try:
            return await self._call(
                token, lambda client: _answer(client.write_data(path, data=dict(data or {}))) or _NO_ANSWER
            )
        except exceptions.Forbidden:
            raise Refused(self.url) from None

    async def initialised(self) -> bool:
        """Whether it ever was. Raises Unavailable (`VAULT_UNREACHABLE`)."""
        said = await self._call("", lambda client: _answer(client.read("sys/init")) or _NO_ANSWER)
        return bool(said.get("initialized", (said.get("data") or {}).get("initialized")))

    async def delete(self, path: str) -> None:
        """Safe to repeat, also where there is no mount (any more). Raises as `read` does."""
        await self._as_myself(lambda client: _delete(client, path))

    async def _as_myself(self, ask: Callable[[Any], T]) -> T:
        token = self._token
        try:
            return await self._call(token, ask)
        except exceptions.Forbidden:
            # The token may have run out while Vault could not be reached.
            await self._log_in(token)
        try:
            return await self._call(self._token, ask)
        except exceptions.Forbidden:
            text = "it does not let this process do that: `python -m chassis.vault` writes what each may"
            raise self._unavailable(text) from None

    async def _call(self, token: str, ask: Callable[[Any], T]) -> T:
        def asked() -> T:
            client = hvac.Client(
                url=self.url, token=token, timeout=self._deadline_seconds, session=self._session
            )
            return ask(client)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await loop.run_in_executor(self._pool, asked)
        except exceptions.InvalidRequest:
            raise Refused(self.url) from None
        except exceptions.Forbidden:
            raise
        # What they say may hold what was sent: they are told by their kind alone.
        except (exceptions.VaultError, requests.RequestException, TimeoutError, OSError) as problem:
            self.trouble = _why(problem)
            raise self._unavailable(self.trouble) from None

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable("VAULT_UNREACHABLE", f"Vault at {self.url} cannot be used: {why}", vault=self.url)

    async def _log_in(self, token: str) -> None:
        """A new token in place of `token`, unless somebody else has got one meanwhile."""
        async with self._logging_in:
            if self._token != token:
                return
            try:
                given = await asyncio.to_thread(self._entry.token)
                if given:  # whoever put it there renews it, or puts another there
                    told = (await self._call(given, lambda client: client.read(_MYSELF)))["data"]
                    seconds = told["ttl"] or _FOR_EVER_SECONDS
                    auth = {"client_token": given, "renewable": False, "lease_duration": seconds}
                else:
                    where, shown = await asyncio.to_thread(self._entry.login)
                    auth = (await self.write_as("", where, shown))["auth"]
            except (Refused, exceptions.Forbidden, KeyError):
                raise self._unavailable("it does not know what this process shows it") from None
            self._accept(auth)

    def _accept(self, auth: Mapping[str, Any]) -> None:
        self._token = str(auth["client_token"])
        self._renewable = bool(auth["renewable"])
        self._renew_at = process.monotonic() + float(auth["lease_duration"]) / 2
        self.trouble = ""

    async def _look(self) -> None:
        """Every so often: is it there? And renew the token when half its time is over."""
        known = ""
        while True:
            try:
                await self._call("", _require_unsealed)
                if self.trouble:
                    await self.read(_MYSELF)
                if process.monotonic() >= self._renew_at:
                    await self._renew()
                self.trouble = ""
            except Unavailable as fault:
                self.trouble = self.trouble or fault.text
            except exceptions.Forbidden:
                self.trouble = "it refuses this process"
            if self.trouble != known:
                known = self.trouble
                _log.warning("vault", url=self.url, trouble=known) if known else _log.info("vault is back")
            await asyncio.sleep(self._look_seconds)

    async def _renew(self) -> None:
        token = self._token
        try:
            if self._renewable:
                self._accept((await self.write_as(token, "auth/token/renew-self"))["auth"])
                return
        except Refused:
            pass  # it has run out, or may be renewed no longer: a new one does it
        await self._log_in(token)


def _answer(said: Any) -> Answer | None:
    """hvac gives back the bare response where there is nothing in it."""
    return said if isinstance(said, dict) else None


def _delete(client: Any, path: str) -> None:
    with suppress(exceptions.InvalidPath):  # there is nothing
        client.delete(path)


def _require_unsealed(client: Any) -> None:
    if client.seal_status["sealed"]:
        raise exceptions.VaultDown


def _why(problem: Exception) -> str:
    match problem:
        case exceptions.VaultDown():
            return "it is sealed, or has no leader"
        case exceptions.VaultNotInitialized():
            return "it was never initialised"
        case exceptions.RateLimitExceeded():
            return "it is asked too much"
        case TimeoutError() | requests.Timeout():
            return "it does not answer in time"
        case requests.exceptions.SSLError():
            return "its certificate is not one that this process trusts (PROVOST_VAULT_CA_FILE)"
        case requests.RequestException() | OSError():
            return "it does not answer"
        case _:
            return f"it fails ({type(problem).__name__})"
