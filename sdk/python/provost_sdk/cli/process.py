"""`provost process` and `provost run`: work for an agent, and what came of it."""

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.orchestrator.v1 import orchestrator_pb2
    from provost_sdk.client import Provost

LONGEST_WAIT_SECONDS = 240
"""Of one call."""
AWAY_SECONDS = 60.0
"""For so long whoever was there a moment ago is asked again: a service that was killed is back by then."""
PAUSE_SECONDS = 1.0
MAX_LOG_BYTES = 32 * 1024 * 1024


class ModeName(StrEnum):
    safe = "safe"
    assisted = "assisted"
    auto = "auto"


class StrategyName(StrEnum):
    classic = "classic"
    reflective = "reflective"


Subject = Annotated[
    str, typer.Option("--subject", help="Whose data it is, to be erased by this name; none: the run's own.")
]
Wait = Annotated[
    int, typer.Option("--wait", metavar="SECONDS", min=0, max=86_400, help="Wait so long for its end.")
]
Mode = Annotated[
    ModeName,
    typer.Option(
        "--mode", help="safe: touch nothing; assisted: act after approval; auto: act where allowed."
    ),
]


def process(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The log; - is standard input.")],
    mode: Mode = ModeName.safe,
    agent: Annotated[str, typer.Option("--agent", help="This agent, not a free one of the crew.")] = "",
    strategy: Annotated[
        StrategyName | None, typer.Option("--strategy", help="classic: one pass of reasoning.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Show the reasoning too.")] = True,
    request_id: Annotated[str, typer.Option("--request-id", help="Sent again, it is the same run.")] = "",
    subject: Subject = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Take a log through a governed run.

    Exit code 0: done; 1: done, its own verification failed; 4: it waits for a person; 5: refused, failed or revoked.
    """
    from provost_sdk.transport import new_request_id

    log = _read(file)
    same = request_id or new_request_id()

    async def question(provost: "Provost") -> "orchestrator_pb2.Run":
        return await asked_again(
            provost,
            lambda: provost.process_log(
                log,
                mode=mode,
                strategy=strategy or "",
                include_trace=trace,
                agent=agent,
                subject=subject,
                request_id=same,
            ),
            same,
        )

    finish(ask("operator", address, key, question), as_json)


async def asked_again(
    provost: "Provost", question: "Callable[[], Awaitable[orchestrator_pb2.Run]]", request_id: str
) -> "orchestrator_pb2.Run":
    """What `question` comes to, which is asked again while nobody answers who was there when it was asked first.

    Whoever gets no answer is told that the run may go on, and how to find it. Raises ProvostError.
    """
    from provost_sdk.cli.show import inert
    from provost_sdk.errors import Unreachable

    if not await provost.reached():
        return await question()  # nothing has begun: it says why
    until = 0.0
    try:
        while True:
            try:
                return await question()
            except Unreachable as away:
                if away.reason == "DEADLINE_EXCEEDED" or 0.0 < until <= monotonic():
                    raise
                if not until:
                    until = monotonic() + AWAY_SECONDS
                    told = f"No answer for now ({away.reason}): the same request is sent again for {AWAY_SECONDS:g} s."
                    print(told, file=sys.stderr)
                await asyncio.sleep(PAUSE_SECONDS)
    except (Unreachable, asyncio.CancelledError):
        print(
            "The run may go on without you: `provost runs list` shows it. The same command with",
            file=sys.stderr,
        )
        print(
            f"`--request-id {inert(request_id)}` asks for it again, and starts no second one.",
            file=sys.stderr,
        )
        raise


def run(
    agent: Annotated[str, typer.Argument(help="Which agent.")],
    task: Annotated[str, typer.Argument(help="An id for the task.")],
    objective: Annotated[str, typer.Argument(help="What it is to do, in words.")],
    mode: Mode = ModeName.safe,
    wait: Wait = 60,
    subject: Subject = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Start a governed run without a log. Exit codes as for `process`; 4 too when it goes on after the wait.

    Built-in agents know these words, and what begins with them, and look around in general when there is none:
    memory ram oom swap leak heap, disk space inode filesystem storage volume, process cpu load zombie slow hang,
    socket port network connect listen traffic, time clock ntp chrony, ssh login password.
    """
    from provost_sdk.cli.show import inert
    from provost_sdk.errors import ProvostError

    if not objective.strip():
        misused("The objective is empty: say what the agent is to do")

    async def question(provost: "Provost") -> "orchestrator_pb2.Run":
        started = await provost.start_run(agent, task, objective, mode=mode, subject=subject)
        try:
            return await awaited(provost, started.run_id, wait) if wait else started
        except (ProvostError, asyncio.CancelledError):
            print(f"It goes on without you: provost runs show {inert(started.run_id)}", file=sys.stderr)
            raise

    finish(ask("operator", address, key, question), as_json)


async def awaited(provost: "Provost", run_id: str, seconds: int) -> "orchestrator_pb2.Run":
    """A run once it has ended or waits for a person, or as it is after so many seconds."""
    from provost_sdk.models import word

    until = monotonic() + seconds
    while True:
        left = max(0, math.ceil(until - monotonic()))
        run = await provost.get_run(run_id, wait_seconds=min(left, LONGEST_WAIT_SECONDS))
        if left <= LONGEST_WAIT_SECONDS or word(run, "state") != "RUNNING":
            return run


def finish(made: "orchestrator_pb2.Run", as_json: bool) -> None:
    """Show a run, and end with the exit code that fits its state and what VERIFY found."""
    from provost_sdk.models import run_as_dict, word

    if as_json:
        print_json(run_as_dict(made))
    else:
        from provost_sdk.cli.show_run import show_run

        show_run(made)
    state = word(made, "state")
    if state == "COMPLETED":
        raise typer.Exit(Exit.OK if all(check.ok for check in made.checks) else Exit.NOT_WELL)
    raise typer.Exit(Exit.WAITING if state in ("WAITING", "RUNNING") else Exit.NOT_DONE)


def _read(file: str) -> bytes:
    try:
        log = sys.stdin.buffer.read(MAX_LOG_BYTES + 1) if file == "-" else _head(Path(file))
    except OSError as error:
        misused(f"{file} cannot be read: {error.strerror}")
    if len(log) > MAX_LOG_BYTES:
        misused(f"{file} is larger than 32 MiB: send it in parts")
    if not log.strip():
        misused(f"{file} is empty: there is nothing to look into")
    return log


def _head(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(MAX_LOG_BYTES + 1)
