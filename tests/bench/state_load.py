"""A thousand agents at work for a minute: heartbeats, phases, boards and messages, and people who look.

python -m tests.bench.state_load [--agents 1000] [--tasks 50] [--seconds 60] [--json FILE]

Everything is real: state as a process, nats-server syncing every write, a store. Each agent beats every 5 s, advances
and is looked at every 10 s, and every 20 s writes to its task's board or to another agent and reads its inbox or its
entry. In the end every write that was answered has to be in the log and in the store. Heartbeats are no writes: they
are in no log.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from chassis import process
from chassis.embedded.services import FITTED
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from tests.bench.state import ROLES
from tests.bench.state_rebuild import resident_megabytes
from tests.bench.verdict import ended
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.process import KEY, StateProcess

WRITES, READS = ("Advance", "PutEntry", "SendMessage"), ("GetAgentState", "GetEntry", "ListMessages")
LIMITS = {"write p99 ms": 50.0, "read p99 ms": 20.0, "resident MB": 300.0}
BEAT_SECONDS, ADVANCE_SECONDS, LOOK_SECONDS, SHARE_SECONDS = 5.0, 10.0, 10.0, 20.0


class Crowd:
    """The agents, what they were answered, and how long that took."""

    def __init__(self, stub: Any, agents: int, tasks: int) -> None:
        self.stub = stub
        self.task_of = [f"task-{number % tasks}" for number in range(agents)]
        self.tokens = [0] * agents
        self.advanced = [0] * agents
        self.entries: dict[tuple[str, str], str] = {}
        self.messages: dict[str, set[str]] = {}
        self.milliseconds: dict[str, list[float]] = {}
        self.failures: list[str] = []

    async def join(self, number: int) -> None:
        agent_id, task_id = f"sre-{number}", self.task_of[number]
        packet = pb.Packet(agent_id=agent_id, task_id=task_id, objective="work")
        await self.stub.IssuePacket(
            pb.IssuePacketRequest(request_id=process.new_id(), packet=packet), metadata=ROLES, timeout=30
        )
        lock = pb.AcquireLockRequest(
            request_id=process.new_id(),
            agent_id=agent_id,
            task_id=task_id,
            holder=agent_id,
            lease_seconds=600,
        )
        answer = await self.stub.AcquireLock(lock, metadata=ROLES, timeout=30)
        self.tokens[number] = answer.lock.fencing_token

    async def timed(self, what: str, call: Awaitable[Any]) -> Any:
        began = time.perf_counter()
        try:
            return await call
        except Exception as problem:  # noqa: BLE001 - counted, and said in the end
            self.failures.append(f"{what}: {problem}")
            return None
        finally:
            self.milliseconds.setdefault(what, []).append((time.perf_counter() - began) * 1000)

    async def beat(self, number: int, _: int) -> None:
        request = pb.HeartbeatRequest(agent_id=f"sre-{number}", ttl_seconds=15)
        await self.timed("Heartbeat", self.stub.Heartbeat(request, metadata=ROLES, timeout=10))

    async def advance(self, number: int, turn: int) -> None:
        request = pb.AdvanceRequest(
            request_id=process.new_id(),
            agent_id=f"sre-{number}",
            task_id=self.task_of[number],
            run_id=f"sre-{number}",
            phase="EXECUTE",
            step=f"step-{turn}",
            fencing_token=self.tokens[number],
            lease_seconds=600,
        )
        answer = await self.timed("Advance", self.stub.Advance(request, metadata=ROLES, timeout=10))
        if answer is not None:
            self.advanced[number] = max(self.advanced[number], answer.sequence)

    async def look(self, number: int, _: int) -> None:
        wanted = self.advanced[number]
        request = pb.GetAgentStateRequest(agent_id=f"sre-{number}", at_least_sequence=wanted)
        answer = await self.timed(
            "GetAgentState", self.stub.GetAgentState(request, metadata=ROLES, timeout=10)
        )
        if answer is not None and answer.agent.sequence < wanted:
            self.failures.append(f"sre-{number} was seen as it had been before")

    async def share(self, number: int, turn: int) -> None:
        task_id, agent_id, text = self.task_of[number], f"sre-{number}", json.dumps(f"{number} at {turn}")
        if turn % 2:
            key = f"progress_{number}"
            request = pb.PutEntryRequest(
                request_id=process.new_id(),
                task_id=task_id,
                section="progress",
                key=key,
                value=text,
                agent_id=agent_id,
            )
            if await self.timed("PutEntry", self.stub.PutEntry(request, metadata=ROLES, timeout=10)):
                self.entries[task_id, key] = text
            return
        to = f"sre-{(number + 50) % len(self.tokens)}"
        message = pb.SendMessageRequest(
            request_id=process.new_id(),
            task_id=task_id,
            from_agent_id=agent_id,
            to_agent_id=to,
            type="STATUS",
            body=text,
        )
        sent = await self.timed("SendMessage", self.stub.SendMessage(message, metadata=ROLES, timeout=10))
        if sent is not None:
            self.messages.setdefault(to, set()).add(text)

    async def read(self, number: int, turn: int) -> None:
        task_id, agent_id = self.task_of[number], f"sre-{number}"
        if not turn % 2 and (task_id, f"progress_{number}") in self.entries:
            entry = pb.GetEntryRequest(task_id=task_id, section="progress", key=f"progress_{number}")
            await self.timed("GetEntry", self.stub.GetEntry(entry, metadata=ROLES, timeout=10))
            return
        inbox = pb.ListMessagesRequest(task_id=task_id, agent_id=agent_id, page_size=20)
        await self.timed("ListMessages", self.stub.ListMessages(inbox, metadata=ROLES, timeout=10))

    async def every(
        self, seconds: float, until: float, act: Callable[[int, int], Awaitable[None]], number: int
    ) -> None:
        at, turn = time.perf_counter() + random.Random(number).random() * seconds, 0
        while at < until:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            await act(number, turn)
            at, turn = at + seconds, turn + 1

    async def lost(self) -> list[str]:
        """What was answered and is not there."""
        lost = []
        for number, sequence in enumerate(self.advanced):
            seen = await self.stub.GetAgentState(
                pb.GetAgentStateRequest(agent_id=f"sre-{number}"), metadata=ROLES, timeout=10
            )
            if seen.agent.sequence < sequence:
                lost.append(f"sre-{number} at {sequence}")
        for (task_id, key), text in self.entries.items():
            request = pb.GetEntryRequest(task_id=task_id, section="progress", key=key)
            found = await self.stub.GetEntry(request, metadata=ROLES, timeout=10)
            if found.entry.value != text:
                lost.append(f"{key} of {task_id}")
        for agent_id, texts in self.messages.items():
            unread = pb.ListMessagesRequest(
                task_id=self.task_of[int(agent_id[4:])], agent_id=agent_id, page_size=100
            )
            inbox = await self.stub.ListMessages(unread, metadata=ROLES, timeout=10)
            lost += [f"{text} to {agent_id}" for text in texts - {each.body for each in inbox.messages}]
        verdict = await self.stub.VerifyStore(pb.VerifyStoreRequest(), metadata=ROLES, timeout=120)
        return lost if verdict.equal else [*lost, f"the store differs: {list(verdict.differing_keys)}"]


async def measure(agents: int, tasks: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats, valkey = NatsServer(home), ValkeyServer(home)
        nats.start()
        valkey.start()
        state = StateProcess(home, nats.url, valkey.url, **FITTED)
        try:
            connection = await connect(nats.url, name="bench")
            await ensure_stream(connection)
            await connection.close()
            state.start()
            async with client.channel(state.address, internal_key=KEY) as channel:
                crowd = Crowd(StateServiceStub(channel), agents, tasks)
                for start in range(0, agents, 20):
                    await asyncio.gather(*(crowd.join(n) for n in range(start, min(agents, start + 20))))
                until = time.perf_counter() + seconds
                acts = (
                    (BEAT_SECONDS, crowd.beat),
                    (ADVANCE_SECONDS, crowd.advance),
                    (LOOK_SECONDS, crowd.look),
                    (SHARE_SECONDS, crowd.share),
                    (SHARE_SECONDS, crowd.read),
                )
                await asyncio.gather(
                    *(crowd.every(pace, until, act, number) for pace, act in acts for number in range(agents))
                )
                resident = resident_megabytes(state.pid)
                lost = await crowd.lost()
        finally:
            state.stop()
            valkey.stop()
            nats.stop()
    calls = {what: p(values) for what, values in sorted(crowd.milliseconds.items())}

    def all_of(kinds: tuple[str, ...]) -> float:
        return p([each for what in kinds for each in crowd.milliseconds[what]])["p99_ms"]

    found = {
        "write p99 ms": all_of(WRITES),
        "read p99 ms": all_of(READS),
        "resident MB": resident,
    }
    return {"calls": calls, "found": found, "failures": crowd.failures[:20], "lost": lost[:20]}


def p(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"count": len(milliseconds), "p50_ms": cuts[49], "p99_ms": cuts[98], "max_ms": max(milliseconds)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = uvloop.run(measure(options.agents, options.tasks, options.seconds))
    print(f"{'':<16}{'calls':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for what, row in measured["calls"].items():
        print(f"{what:<16}{row['count']:>8,}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['max_ms']:>9.2f}")
    for what, value in measured["found"].items():
        print(f"{what:<16}{value:>8.1f}   (limit {LIMITS[what]:.0f})")
    print(f"failed: {measured['failures'] or 'none'}; lost: {measured['lost'] or 'nothing'}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    if measured["lost"] or measured["failures"]:
        return 1
    return ended(value <= LIMITS[what] for what, value in measured["found"].items())


if __name__ == "__main__":
    raise SystemExit(main())
