"""How fast recorded decisions are decided anew: the time machine on a real nats-server, in its own process.

python -m tests.bench.simulate [--decisions 40000] [--json FILE]

Histories differ in how many decisions were committed together, and in whether the new set has custom rules: such as an
equality excludes before anybody asks them, or none. The rate is
that of reading and deciding, `all in` what whoever asks waits for everything, with starting the process and compiling
the set. CPU is all that the process used (and its child for custom rules), without starting.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.eventlog.subject_keys import NatsSubjectKeys
from services.policy.adapters.simulating.running import ChildSimulations
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.flips import Simulated, Simulation
from services.policy.domain.tier import Tier
from tests.bench.verdict import ended
from tests.fakes.decided_history import Written, an_agent, changed, decided
from tests.fakes.nats_server import NatsServer

AGENTS = 20
TOGETHER = (50, 5, 1)
TARGET, TARGET_WITH_RULES = 10_000, 5_000
NAMES = ("diagnostics.memory", "diagnostics.disk", "ansible.check", "service.restart")
BEGIN = {
    "excluded": 'input.action.target == "host-{n}"',
    "asked": 'endswith(input.action.target, "t-{n}")',
}
"""How the rules begin; both mean the same."""
NEW = changed("2", ("actions: [ansible.check]", "actions: [service.restart]"))


@dataclass(frozen=True, slots=True)
class Measured:
    """Decisions a second, seconds until the last answer, CPU for each decision, and how many came out otherwise."""

    per_second: float
    all_in_seconds: float
    cpu_us: float
    flips: int


async def history(log: Written, together: int, decisions: int) -> None:
    """`decisions` of `AGENTS` agents, so many in each event."""
    agents = [an_agent(f"agent-{n}", Tier.T1_OPERATOR) for n in range(AGENTS)]
    for agent in agents:
        await log.agent(agent)
    records: list[DecisionRecord] = []
    for n in range(decisions):
        agent = agents[n % AGENTS]
        records.append(
            decided(NAMES[n % len(NAMES)], agent=agent, run_id=f"run-{n // 8}", target=f"host-{n % 500}")
        )
        if len(records) == together:
            await log.decisions(records)
            records = []


async def simulated(simulations: ChildSimulations, asked: Simulation) -> tuple[Simulated, float, float]:
    """The last answer, seconds and CPU seconds."""
    before, began = _children_cpu(), time.perf_counter()
    last: Simulated | None = None
    async with aclosing(simulations.run(asked)) as telling:
        async for each in telling:
            last = each
    assert last is not None
    assert last.done
    return last, time.perf_counter() - began, _children_cpu() - before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure(decisions: int) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    documents = {"table alone": NEW} | {f"ten rules {how}": ten_rules(begin) for how, begin in BEGIN.items()}
    with tempfile.TemporaryDirectory() as directory:
        nats = NatsServer(Path(directory))
        nats.start()
        connection = await connect(nats.url, name="bench")
        try:
            await ensure_stream(connection, max_bytes=1024**3)
            key_file = Path(directory) / "sealing.key"
            keys = await NatsSubjectKeys(connection, key_file, "bench").start()
            await keys.stop()
            simulations = ChildSimulations(nats.url, key_file)
            for together in TOGETHER:
                # An event is synced before the next: a history of single ones is a shorter one.
                await history(
                    Written(connection, f"by-{together}"), together, decisions * min(together, 10) // 10
                )
            for label, document in documents.items():
                for together in TOGETHER:
                    row = await compared(simulations, f"by-{together}", document)
                    found[f"{label}, {together} to an event"] = row
        finally:
            await connection.close()
            nats.stop()
    return found


async def compared(simulations: ChildSimulations, tenant: str, document: str) -> Measured:
    _, _, idle_cpu = await simulated(simulations, Simulation("nobody", document))
    last, took, cpu = await simulated(simulations, Simulation(tenant, document))
    totals = last.totals
    cpu_us = max(0.0, cpu - idle_cpu) / totals.decisions * 1e6
    return Measured(totals.decisions / totals.seconds, took, cpu_us, totals.flips)


def ten_rules(begin: str) -> str:
    """The new set with ten rules that begin so."""
    rules = "rules:\n"
    for n in range(10):
        rules += f"""\
  - id: rule_{n}
    rego: |
      package provost.rules.rule_{n}
      import rego.v1
      deny contains "not on host {n}" if {{
        {begin.format(n=n)}
        input.run.mode == "AUTO"
        startswith(input.action.name, "service.")
      }}
"""
    return NEW.replace("\npromotions:\n", f"\n{rules}\npromotions:\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=40_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = uvloop.run(measure(options.decisions))
    print(f"{'what':<36}{'decisions/s':>13}{'target':>9}{'all in s':>10}{'CPU µs each':>13}{'flips':>9}")
    short = False
    for label, row in table.items():
        target = TARGET_WITH_RULES if "rules" in label else TARGET
        short = short or row.per_second < target
        print(
            f"{label:<36}{row.per_second:>13,.0f}{target:>9,}{row.all_in_seconds:>10.2f}{row.cpu_us:>13.1f}{row.flips:>9,}"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({label: asdict(row) for label, row in table.items()}, indent=2) + "\n"
        )
    return ended([not short])


if __name__ == "__main__":
    sys.exit(main())
