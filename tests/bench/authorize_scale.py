"""What a decision costs with many agents, and under many rules: CPU in one process, without network and disk.

python -m tests.bench.authorize_scale [--json FILE]

Batches of 100 for agents taken at random, through everything from the use case to the bytes of the event. Rules are
those of the tier table, approvals and flows, in equal parts; of those about one action the last one allows it.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from chassis.eventlog.headers import Headers
from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause, Recorded
from provost.state.v1 import events_pb2 as state_events_pb2
from provost.state.v1 import state_pb2
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.domain.action import ENVIRONMENTS, Action, Mode, RunContext
from services.policy.domain.agent import AgentRegistered
from services.policy.domain.decision import DecisionRecord, DecisionsMade
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import ApprovalRule, Capability, FlowRule, Rules
from services.policy.domain.tier import Tier
from services.policy.handlers.ask import Ask
from services.policy.handlers.authorization import Authorization
from services.policy.handlers.judging import Judging
from services.policy.reactor import Held
from services.policy.wire import CODEC
from tests.bench.verdict import ended
from tests.fakes.subject_keys import MemorySubjectKeys

AGENTS, RULES = (10, 1_000, 100_000), (10, 100, 1_000)
MOST = 1.3
BATCH, BATCHES, ROUNDS = 100, 60, 5
ACTIONS = 40
AT = datetime(2026, 3, 1, tzinfo=UTC)


class Encoded:
    """Implements `Record`: what is made durable is put into bytes, and then it is durable enough for this."""

    async def commit(self, decisions: Sequence[DecisionRecord], cause: Cause) -> int:
        CODEC.encode(DecisionsMade(tuple(decisions)))
        return 1


def rules(number: int) -> PolicySet:
    """A set with so many rules, one part each of capabilities, approval rules and flow rules."""
    part = max(1, number // 3)
    actions = {f"area-{n % ACTIONS}.act": "" for n in range(ACTIONS)}
    last = max(0, part - ACTIONS)
    capabilities = tuple(
        Capability(
            Tier.T1_OPERATOR,
            (f"area-{n % ACTIONS}.*",),
            ENVIRONMENTS,
            ("web-*",) if n >= last else (f"host-{n}-*",),
        )
        for n in range(part)
    )
    approvals = tuple(
        ApprovalRule(f"a{n}", (Tier.T4_ARCHITECT,), (f"area-{n % ACTIONS}.*",), ("production",))
        for n in range(part)
    )
    flows = tuple(
        FlowRule(f"f{n}", (f"label-{n}",), (f"area-{n % ACTIONS}.*",), ENVIRONMENTS, ("*",))
        for n in range(part)
    )
    return PolicySet(
        str(number), actions, dict.fromkeys(Tier, 60), capabilities, approvals, Rules(flows=flows)
    )


def registered(number: int) -> list[Recorded]:
    """So many agents, each with a packet and a label that no flow rule names."""
    found: list[Recorded] = []

    def put(subject: str, event_type: str, payload: bytes) -> None:
        head = Headers(f"NATS/1.0\r\nce-id: e{len(found)}\r\nce-type: {event_type}\r\n\r\n".encode())
        found.append(Recorded(len(found) + 1, subject, head, payload))

    for n in range(number):
        agent_id = f"agent-{n}"
        made = CODEC.encode(AgentRegistered(agent_id, Tier.T1_OPERATOR, "1.0", "role", AT))
        put(f"evt.default.policy.agent.{agent_id}.AgentRegistered", made[1], made[2])
        packet = state_pb2.Packet(agent_id=agent_id, task_id="task-1")
        event = state_events_pb2.PacketIssued(packet=packet).SerializeToString()
        put(f"evt.default.state.agent.{agent_id}.PacketIssued", "provost.state.v1.PacketIssued", event)
        label = state_events_pb2.RunLabelled(
            agent_id=agent_id, run_id="run-1", labels=["plain"]
        ).SerializeToString()
        put(f"evt.default.state.agent.{agent_id}.RunLabelled", "provost.state.v1.RunLabelled", label)
    return found


class Scene:
    """Policy's decisions over so many agents, under a set that can be changed."""

    def __init__(self, agents: int, policy: PolicySet, directory: Path) -> None:
        self.agents, self.policy = agents, policy
        self.held = Held(MemoryLog(CODEC), CODEC)
        sets: Any = SimpleNamespace(in_force=lambda _tenant: self.policy)
        following: Any = SimpleNamespace(position=1 << 60, stale_seconds=0.0)
        budgets = SimpleNamespace(current=lambda _tenant: SimpleNamespace(hand={}))
        means: Any = SimpleNamespace(
            record=Encoded(), signer=FileSigner(directory / "policy.pem"), digest=digest_of, rules=None, opa=None,
            keys=MemorySubjectKeys(), budgets=budgets, now=lambda: datetime.now(UTC),
        )  # fmt: skip
        held: Any = self.held
        self.authorization = Authorization(held, Judging(held, sets, means), following, means)

    async def fill(self) -> None:
        await self.held.deliver(registered(self.agents))

    async def cpu_us(self, seed: int) -> float:
        """CPU per decision over some batches."""
        chosen = random.Random(seed)
        asks = []
        for number in range(BATCHES):
            context = RunContext("run-1", "task-1", f"agent-{chosen.randrange(self.agents)}", Mode.SAFE)
            actions = tuple(
                Action(f"a{n}", f"area-{chosen.randrange(3)}.act", f"web-{n}", "sandbox", {"n": "1"})
                for n in range(BATCH)
            )
            cause = Cause("default", f"{seed}-{number}", "service:bench", datetime.now(UTC))
            asks.append((Ask(context, actions, {}), cause))
        began = time.process_time()
        for ask, cause in asks:
            answer = await self.authorization.decide(ask, "", cause, trusted=True)
            assert answer.decisions[0].judgement.reason == "ALLOWED_DRY_RUN", answer.decisions[0].judgement
        return (time.process_time() - began) / (BATCHES * BATCH) * 1e6


async def measure() -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {"agents": {}, "rules": {}}
    with TemporaryDirectory() as directory:
        scenes = [Scene(number, rules(RULES[0]), Path(directory)) for number in AGENTS]
        for scene in scenes:
            await scene.fill()
        taken: dict[tuple[str, int], list[float]] = {}
        sets = {number: rules(number) for number in RULES}
        for turn in range(ROUNDS):  # in turns, so that the machine's other work hits all alike
            for scene in scenes:
                taken.setdefault(("agents", scene.agents), []).append(await scene.cpu_us(turn))
            for number, policy in sets.items():
                scenes[0].policy = policy
                taken.setdefault(("rules", number), []).append(await scenes[0].cpu_us(100 + turn))
            scenes[0].policy = sets[RULES[0]]
    for (what, number), each in taken.items():
        found[what][number] = statistics.median(each)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(measure())
    short = False
    for what, row in found.items():
        least = row[min(row)]
        for number, cpu in row.items():
            within = cpu <= MOST * least
            short = short or not within
            verdict = "" if within else "  SHORT"
            print(
                f"{number:>9,} {what:<8}{cpu:>8.1f} µs a decision{cpu / least:>8.2f} of the smallest{verdict}"
            )
    print(f"to be at most {MOST} of the smallest; load average {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return ended([not short])


if __name__ == "__main__":
    sys.exit(main())
