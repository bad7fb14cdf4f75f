"""Starts the process that simulates, passes on what it tells, and ends it."""

import asyncio
import json
import os
import sys
from asyncio import subprocess
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chassis.orphans import die_with_parent
from chassis.telemetry import get_logger
from kernel.faults import Invalid, Unavailable
from provost.policy.v1 import policy_pb2 as pb
from services.policy.adapters.simulating.frames import FAULT, HEAD_BYTES, head_of
from services.policy.domain.flips import Simulated, Simulation
from services.policy.wire.simulating import SIMULATED

NICENESS = 19
_log = get_logger("policy.simulating")


class ChildSimulations:
    """Implements `ports.Simulations`: each in a process of its own, with a connection of its own to the log."""

    def __init__(
        self, nats_url: str, sealing_key_file: Path, tls_files: tuple[Path, Path, Path] | None = None
    ) -> None:
        self._place = {
            "nats_url": nats_url,
            "sealing_key_file": str(sealing_key_file),
            "tls_files": [str(each) for each in tls_files or ()],
        }

    async def run(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.policy.adapters.simulating",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=_apart(),
            )
        except OSError as problem:
            raise _ended(f"cannot be started: {problem}") from problem
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(
                json.dumps(self._place | {"simulation": asdict(asked)}, default=str).encode() + b"\n"
            )
            await process.stdin.drain()
            done = False
            while not done:
                kind, length = head_of(await process.stdout.readexactly(HEAD_BYTES))
                body = await process.stdout.readexactly(length)
                if kind == FAULT:
                    raise _fault(json.loads(body))
                said = SIMULATED.to_record(pb.SimulatePolicySetResponse.FromString(body))
                done = said.done
                yield said
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError) as problem:
            _log.error("simulation ended", code=await process.wait())
            raise _ended("has ended; the log of policy says why") from problem
        finally:
            if process.returncode is None:
                process.kill()  # it holds nothing that would have to be put in order
            await asyncio.shield(process.wait())


def _apart() -> Callable[[], None]:
    """It ends with us, and gets the processor when live decisions leave it some, from its first import on."""
    end_with_us = die_with_parent()

    def before_exec() -> None:
        end_with_us()
        os.nice(NICENESS)

    return before_exec


def _ended(what: str) -> Unavailable:
    return Unavailable("SIMULATION_ENDED", f"the process that simulates {what}: try again")


def _fault(told: dict[str, Any]) -> Invalid | Unavailable:
    fault = (Invalid if told["invalid"] else Unavailable)(told["reason"], told["text"])
    fault.facts = told["facts"]
    return fault
