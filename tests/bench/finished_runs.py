"""What a run that is over costs the orchestrator: the log of the bench `process_log`, the built-in agent, all sealed.

python -m tests.bench.finished_runs [--runs 400] [--json FILE]

The runs are made once, in memory; then their events are folded as at a start, without a shelf and with one.
"""

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.memory import MemoryLog
from chassis.eventlog.shelf import Shelf
from kernel.events import Recorded
from services.orchestrator.agents.wire import think
from services.orchestrator.domain.facts import Event
from services.orchestrator.domain.records import Mode, Proposal
from services.orchestrator.domain.run import RUN, Run
from services.orchestrator.domain.wants import Command
from services.orchestrator.ports.crew import Task
from services.orchestrator.wire import EVENTS, PROPOSAL, TASK
from tests.bench.process_log import fixed_log
from tests.bench.verdict import ended
from tests.unit.orchestrator.house import TENANT, house, peers

MOST_KB = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run."""

    memory_kb: float
    fold_ms: float
    look_ms: float


def built_in(task: Task) -> Proposal:
    return PROPOSAL.to_record(think(TASK.to_message(task)))


async def made(runs: int) -> list[Recorded]:
    log = MemoryLog(EVENTS)
    async with house(peers(), log, built_in) as it:
        for n in range(runs):
            view = await it.process(Mode.SAFE, f"r{n}", fixed_log().encode())
            assert view.run.over
    return log.recorded()


async def measured(events: Sequence[Recorded], shelf: Shelf | None) -> Cost:
    async def folded() -> HeldAggregates[Command, Run, Event]:
        held = HeldAggregates(RUN, MemoryLog(EVENTS), EVENTS, shelf)
        await held.take(events)
        gc.collect()
        return held

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    held = await folded()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    begun = time.process_time()
    held = await folded()
    folding, begun = time.process_time() - begun, time.process_time()
    runs = sum(run.over for _, run in held.all(TENANT))
    looking = time.process_time() - begun
    return Cost((after - before) / runs / 1024, 1000 * folding / runs, 1000 * looking / runs)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    events = asyncio.run(made(given.runs))
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder), most_held=0)
        found = {
            "in memory": asyncio.run(measured(events, None)),
            "on the shelf": asyncio.run(measured(events, shelf)),
        }
        shelf.close()
    print(f"{'a run that is over':<20}{'memory, KB':>12}{'to fold, ms':>13}{'to look at, ms':>16}")
    for name, cost in found.items():
        print(f"{name:<20}{cost.memory_kb:>12.2f}{cost.fold_ms:>13.2f}{cost.look_ms:>16.3f}")
    good = found["on the shelf"].memory_kb <= MOST_KB
    print(f"on the shelf at most {MOST_KB:g} KB: {'ok' if good else 'SHORT'}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(
            json.dumps({name: asdict(cost) for name, cost in found.items()}, indent=2) + "\n"
        )
    return ended([good])


if __name__ == "__main__":
    sys.exit(main())
