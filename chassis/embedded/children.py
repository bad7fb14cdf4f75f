"""One child process: started, asked whether it is ready, kept an eye on, stopped with everything it started."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chassis import process
from chassis.orphans import die_with_parent

KEPT_LOG_BYTES = 10 * 1024 * 1024
POLL_SECONDS = 0.04

Ready = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and how to tell that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: Ready
    environment: Mapping[str, str] = field(repr=False)
    stop_seconds: float = 12.0


class Ended(Exception):
    """A child ended when it should not have; the text says how."""


class Child:
    """A program and the process it runs in, one at a time."""

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C at the terminal is for the supervisor, which stops all in order.

        Raises:
            Ended: it could not be started.
        """
        try:
            self._rotate()
            with self.log.open("ab") as out:
                self._log_start = out.tell()
                self._process = await asyncio.create_subprocess_exec(
                    *self.program.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=dict(self.program.environment),
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
        except OSError as error:
            raise Ended(f"could not be started: {error}") from error

    async def wait_ready(self, timeout_seconds: float) -> None:
        """Wait until it says that it is ready.

        Raises:
            Ended: it ended instead.
            TimeoutError: neither happened in time.
        """
        ending = asyncio.ensure_future(self.wait())
        until = process.monotonic() + timeout_seconds
        try:
            while not await self.program.ready():
                if ending.done():
                    raise Ended(ending.result())
                if process.monotonic() > until:
                    raise TimeoutError(f"not ready after {timeout_seconds:g} s")
                await asyncio.wait({ending}, timeout=POLL_SECONDS)
        finally:
            ending.cancel()

    async def wait(self) -> str:
        """Wait until it has ended; says how, as `exit code 1` or `killed by SIGKILL`."""
        assert self._process is not None
        code = await self._process.wait()
        self._kill_group()  # what it had started would hold its ports
        if code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL to all it started when it takes too long. Harmless when it has ended."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), self.program.stop_seconds)
        except TimeoutError:
            pass
        finally:
            self._kill_group()
        await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._kill_group()

    def last_lines(self, count: int = 12) -> list[str]:
        """The end of what it has said since it was last started."""
        with self.log.open("rb") as file:
            file.seek(max(self._log_start, self.log.stat().st_size - 64 * 1024))
            lines = deque((line.decode("utf-8", "replace").rstrip() for line in file), maxlen=count)
        return [line for line in lines if line]

    def _kill_group(self) -> None:
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # all of it is gone

    def _rotate(self) -> None:
        try:
            if self.log.stat().st_size > KEPT_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        except FileNotFoundError:
            pass  # the first start
