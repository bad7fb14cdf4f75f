"""Running a program: no shell, its own process group, a clean environment, limits on time and output."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chassis import telemetry
from chassis.process import monotonic, new_id
from services.orchestrator.actuators.actuator import ActuatorFailed

MAX_OUTPUT_BYTES = 256 * 1024
_log = telemetry.get_logger("orchestrator.actuators")
_MARK = "PROVOST_PROGRAM"
_LOOK_SECONDS = 0.01
_END_SECONDS = 5.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended, and the first 256 KiB of what it wrote."""

    exit_code: int
    output: str
    cut: bool


async def run(
    argv: Sequence[str], timeout_seconds: float, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run `argv` to its end.

    Raises:
        ActuatorFailed: it cannot be started, or took longer than `timeout_seconds` (it is killed with all it started).
    """
    mark = f"{os.getpid()}.{_began(os.getpid())}.{new_id()}"
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**ENVIRONMENT, **(environment or {}), _MARK: mark},
            start_new_session=True,
        )
    except OSError as error:
        raise ActuatorFailed("ACTUATOR_FAILED", f"{argv[0]} cannot be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(timeout_seconds):
            output, cut = await _read(process)
            exit_code = await process.wait()
    except TimeoutError:
        raise ActuatorFailed(
            "ACTUATOR_TIMEOUT", f"{argv[0]} took longer than {timeout_seconds:.0f} s"
        ) from None
    finally:
        await _end(process, mark)
    return Ran(exit_code, output.decode("utf-8", "replace"), cut)


async def _read(process: asyncio.subprocess.Process) -> tuple[bytes, bool]:
    """All of its output, of which the first part is kept: a program must not block on a full pipe."""
    kept, cut = bytearray(), False
    assert process.stdout is not None
    while chunk := await process.stdout.read(65536):
        room = MAX_OUTPUT_BYTES - len(kept)
        kept += chunk[:room]
        cut = cut or len(chunk) > room
    return bytes(kept), cut


async def end_left_behind() -> None:
    """End what actuators that were killed have left running: nobody hears what comes of it, and nobody could end it."""
    if living := await _ended(_left_behind):
        _log.error("programs cannot be ended", pids=living)


async def _end(process: asyncio.subprocess.Process, mark: str) -> None:
    """Kill it and all it started, and see it gone: what has left its group, as Ansible's workers do, bears its mark."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if living := await _ended(mark.__eq__):
        _log.error("programs cannot be ended", pids=living)
        return
    await process.wait()


async def _ended(fits: Callable[[str], bool]) -> list[int]:
    """Kill what bears a mark that `fits`; those that are still there after 5 seconds."""
    none_seen, until = 0, monotonic() + _END_SECONDS
    while none_seen < 2:  # one that is just becoming another program shows no environment for a moment
        await asyncio.sleep(_LOOK_SECONDS)
        living = await asyncio.to_thread(_marked, fits)
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        none_seen = 0 if living else none_seen + 1
        # What waits for a device that is gone cannot be killed, and would hold up a revocation.
        if monotonic() > until:
            return living
    return []


def _marked(fits: Callable[[str], bool]) -> list[int]:
    """Processes that have such a mark in their environment; one that has ended has none."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is somebody else's, or has just gone
            for each in (place / "environ").read_bytes().split(b"\0"):
                name, _, mark = each.partition(b"=")
                if name == _MARK.encode() and fits(mark.decode("ascii", "replace")):
                    found.append(int(place.name))
    return found


def _left_behind(mark: str) -> bool:
    """Whether the process that started it is gone."""
    pid, began, _ = mark.split(".") if mark.count(".") == 2 else ("", "", "")
    return pid.isdecimal() and _began(int(pid)) != began


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks: with it a process id is good for ever. Empty when it has ended."""
    with contextlib.suppress(OSError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # proc(5)
        return "" if state in "ZX" else rest[18]
    return ""
