"""Certificates of an embedded run, made by its own `provost certs`, and renewed while it runs."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from chassis import telemetry
from chassis.embedded import servers

HOURS = "72"
_LOOK_SECONDS = 600.0
_log = telemetry.get_logger("embedded.certs")


class Certs:
    """In `certs/` under `home`, an authority of its own."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "certs"
        self._script = str(Path(sys.executable).with_name("provost"))

    def environment(self, nats_port: int) -> Mapping[str, str]:
        """What services are told."""
        files = {f"PROVOST_{name.upper()}": str(file) for name, file in self.fields().items()}
        return files | {"PROVOST_NATS_URL": f"tls://{servers.HOST}:{nats_port}"}

    def fields(self) -> Mapping[str, Path]:
        """The same, as names of settings: for whoever asks services whether they are well."""
        of = self.directory / "{service}"
        return {"tls_cert_file": of / "tls.crt", "tls_key_file": of / "tls.key", "tls_ca_file": of / "ca.crt"}

    async def make(self) -> None:
        """Have one good certificate for everybody.

        Raises:
            ValueError: the authority cannot be used; the text says why.
        """
        await self._told("init", str(self.directory), "--if-none")
        await self._told("renew", str(self.directory), "--all", "--hours", HOURS)

    async def keep(self, nats_pid: Callable[[], int | None]) -> None:
        """Renew what is due, for ever. NATS alone has to be told."""
        shown = self.directory / "nats" / "tls.crt"
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before = shown.stat().st_mtime_ns
            try:
                await self.make()
            except ValueError as problem:
                _log.error("certificates are not renewed", why=str(problem))
            pid = nats_pid()
            if shown.stat().st_mtime_ns != before and pid is not None:
                os.kill(pid, signal.SIGHUP)  # it reads its configuration again, and with it these files

    async def _told(self, *arguments: str) -> None:
        child = await asyncio.create_subprocess_exec(
            self._script, "certs", *arguments, env=servers.bare_environment(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await child.communicate()
        if child.returncode:
            raise ValueError(said.decode("utf-8", "replace").strip())
