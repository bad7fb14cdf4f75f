"""Keeps children running: waves of starts, restarts with growing pauses, an orderly end."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from chassis import process
from chassis.embedded.children import Child, Ended, Program

READY_SECONDS = 600.0  # a start may read the whole log first; who ends instead is told of at once
STEADY_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
TRIES_AT_START = 3

Say = Callable[[str], None]


class StartFailed(Exception):
    """A child did not become ready; the text holds its last words."""


class Supervisor:
    """Runs `waves` of programs: those of one wave start together, when those of the wave before are ready."""

    def __init__(
        self,
        waves: Sequence[Sequence[Program]],
        logs: Path,
        say: Say,
        *,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._waves = [[Child(program, logs) for program in wave] for wave in waves]
        self._say = say
        self._ready_seconds = ready_seconds
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.changed: Callable[[], None] = lambda: None

    @property
    def started(self) -> bool:
        """Whether everything has been started and is watched."""
        return not self._stopping and len(self._keepers) == len(self.children)

    @property
    def children(self) -> list[Child]:
        return [child for wave in self._waves for child in wave]

    def pids(self) -> dict[str, int]:
        """The process ids of those that run now, by name."""
        return {child.program.name: child.pid for child in self.children if child.pid is not None}

    async def start(self) -> None:
        """Start all, wave by wave; returns when all are ready and watched.

        Raises:
            StartFailed: one did not become ready. The others still run: `stop`.
        """
        for wave in self._waves:
            self._say(f"  starting {', '.join(child.program.name for child in wave)} …")
            starts = [asyncio.ensure_future(self._first_start(child)) for child in wave]
            try:
                await asyncio.gather(*starts)
            finally:
                for each in starts:
                    each.cancel()
                await asyncio.wait(starts)
            for child in wave:
                self._keepers[child.program.name] = asyncio.create_task(self._keep(child))

    async def stop(self) -> None:
        """Stop all, the last of the waves first, one by one."""
        self._stopping = True
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        for child in reversed(self.children):
            begun, ran = process.monotonic(), child.pid is not None
            await child.stop()
            if ran:
                self._say(f"  {child.program.name:<14} stopped  {process.monotonic() - begun:5.2f} s")

    async def hold(self, name: str) -> None:
        """Stop one and leave it stopped, until `release`. Raises KeyError: there is none of that name."""
        keeper = self._keepers[name]
        keeper.cancel()
        await asyncio.wait({keeper})
        await self._child(name).stop()
        self._say(f"  {name} is held")

    async def release(self, name: str) -> None:
        """Start one that is held; returns when it is ready.

        Raises:
            StartFailed: it did not become ready.
        """
        child = self._child(name)
        await self._first_start(child)
        self._keepers[name] = asyncio.create_task(self._keep(child))
        self.changed()

    def _child(self, name: str) -> Child:
        return next(child for child in self.children if child.program.name == name)

    def kill(self) -> None:
        """End all at once, in no order."""
        for child in self.children:
            child.kill()

    async def _first_start(self, child: Child) -> None:
        begun, pause = process.monotonic(), FIRST_PAUSE_SECONDS
        for left in reversed(range(TRIES_AT_START)):
            try:
                await child.start()
                await child.wait_ready(self._ready_seconds)
            except Ended as end:
                if left == 0:
                    raise StartFailed(_last_words(child, str(end))) from None
                self._say(f"  {child.program.name:<14} {end}; trying again")
                await asyncio.sleep(pause)
                pause *= 2
            except TimeoutError as error:
                raise StartFailed(_last_words(child, str(error))) from None
            else:
                self._say(f"  {child.program.name:<14} ready    {process.monotonic() - begun:5.2f} s")
                return

    async def _keep(self, child: Child) -> None:
        """Start it again whenever it ends, with pauses that grow while it does not stay up."""
        name, pause = child.program.name, FIRST_PAUSE_SECONDS
        while True:
            started = process.monotonic()
            how = await child.wait()
            if self._stopping:
                return
            if process.monotonic() - started >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            words = child.last_lines(1)
            self._say(f"! {name} ended: {how}{f'; it said: {words[-1]}' if words else ''}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            begun = process.monotonic()
            try:
                await child.start()
                self.changed()
                await child.wait_ready(self._ready_seconds)
                self._say(f"  {name} is ready again after {process.monotonic() - begun:.2f} s")
            except TimeoutError as error:
                self._say(f"! {name} runs again but is {error}; its log: {child.log}")
            except Ended:
                continue  # the next turn says how


def _last_words(child: Child, what: str) -> str:
    lines = "".join(f"\n    {line}" for line in child.last_lines())
    return f"{child.program.name} did not start: {what}\n  the end of {child.log}:{lines or ' (empty)'}"
