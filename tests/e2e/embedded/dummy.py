"""Children that do nothing but what a test of the supervisor needs, and a process that supervises them.

python -m tests.e2e.embedded.dummy DIRECTORY: three of them in two waves, until SIGTERM.
"""

import sys
from functools import partial
from pathlib import Path

from chassis import process
from chassis.embedded.children import Program
from chassis.embedded.supervisor import StartFailed, Supervisor

# Notes its pid in DIRECTORY/NAME.pid when it is ready, and its name in DIRECTORY/stopped when it is asked to stop.
_CHILD = """
import os, pathlib, signal, subprocess, sys, time
place, name, *how = sys.argv[1:]
place = pathlib.Path(place)
def stop(*_):
    with (place / "stopped").open("a") as out:
        out.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in how else stop)
print("hello from", name, flush=True)
if "broken" in how:
    print("cannot find my hat", flush=True)
    sys.exit(3)
if "parent" in how:
    helper = subprocess.Popen(["sleep", "1000"])
    (place / (name + ".helper")).write_text(str(helper.pid))
fresh = place / (name + ".fresh")
fresh.write_text(str(os.getpid()))
fresh.rename(place / (name + ".pid"))
while True:
    time.sleep(1000)
"""


def program(place: Path, name: str, *how: str, stop_seconds: float = 5.0) -> Program:
    """A child called `name`; `how` is any of stubborn (ignores SIGTERM), broken, parent (starts a helper)."""
    pid_file = place / f"{name}.pid"

    def there() -> bool:
        return pid_file.exists() and Path(f"/proc/{pid_file.read_text()}").exists()

    async def ready() -> bool:
        return there()

    command = (sys.executable, "-S", "-c", _CHILD, str(place), name, *how)
    return Program(name, command, ready, {"PATH": "/usr/bin:/bin"}, stop_seconds)


async def supervise(place: Path, stopping: process.Stopping) -> None:
    waves = [[program(place, "first")], [program(place, "second", "parent"), program(place, "third")]]
    supervisor = Supervisor(waves, place, partial(print, flush=True))
    try:
        await supervisor.start()
    except StartFailed as failed:
        print(failed)
        return
    print("READY", *supervisor.pids().values(), flush=True)
    await stopping.wait()
    await supervisor.stop()


if __name__ == "__main__":
    process.run(partial(supervise, Path(sys.argv[1])))
