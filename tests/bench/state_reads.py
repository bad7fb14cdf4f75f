"""What reading state costs, against a bare grpc.aio server that answers the same questions with the same messages.

python -m tests.bench.state_reads [--seconds 3] [--rounds 5] [--json FILE]

Both are processes on uvloop, called by the same client in turns, with the same metadata, one and 32 in flight. The bare
one parses each request and serialises one ready answer; state asks its store, a real one, which it keeps up with a real
log. Beside the rates, each server's own CPU time per call is told: that does not hang on who else works on the machine.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop

from chassis import process
from chassis.embedded.services import FITTED
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import ensure_stream
from chassis.rpc import client
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import (
    StateServiceServicer,
    StateServiceStub,
    add_StateServiceServicer_to_server,
)
from tests.bench.echo import cpu_seconds
from tests.bench.state import ROLES, locked
from tests.bench.verdict import ended
from tests.fakes.nats_server import NatsServer
from tests.fakes.valkey_server import ValkeyServer
from tests.integration.state.process import KEY, StateProcess

TARGET = 0.6
HEADINGS = ("bare/s", "state/s", "share", "goal", "bare µs", "state µs", "p50 ms", "p99 ms")
IN_FLIGHT = (1, 32)
AGENTS = 32


class Bare(StateServiceServicer):
    """Answers every question with what it was given at the start."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        for method, raw in answers.items():
            answer = getattr(pb, f"{method}Response").FromString(raw)

            async def say(request: Any, context: Any, answer: Any = answer) -> Any:
                return answer

            setattr(self, method, say)


@dataclass
class Row:
    bare_per_second: float
    per_second: float
    share: float
    bare_cpu_us: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass
class Round:
    per_second: float
    cpu_us: float
    milliseconds: list[float]


async def serve(file: Path, stopping: process.Stopping) -> None:
    answers = {name: bytes.fromhex(text) for name, text in json.loads(file.read_text()).items()}
    server = grpc.aio.server()
    bare: Any = Bare  # of the methods that it is asked for
    add_StateServiceServicer_to_server(bare(answers), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await stopping.wait()
    await server.stop(1)


async def load(
    stub: Any, method: str, requests: list[Any], pid: int, in_flight: int, seconds: float
) -> Round:
    call, milliseconds = getattr(stub, method), []
    before, began = cpu_seconds(pid), time.perf_counter()
    until = began + seconds

    async def caller(number: int) -> None:
        request = requests[number % len(requests)]
        while (started := time.perf_counter()) < until:
            await call(request, timeout=10, metadata=ROLES)
            milliseconds.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    took = time.perf_counter() - began
    count = len(milliseconds)
    return Round(count / took, (cpu_seconds(pid) - before) / count * 1e6, milliseconds)


async def questions(stub: Any) -> dict[str, list[Any]]:
    """Agents at work on a task with something on its board, and what is asked about them."""
    for number in range(AGENTS):
        token = await locked(stub, f"sre-{number}")
        entry = pb.PutEntryRequest(
            request_id=process.new_id(),
            task_id="bench",
            section="problem",
            key=f"k{number}",
            value=json.dumps("x" * 300),
            agent_id=f"sre-{number}",
            run_id="run-1",
            fencing_token=token,
        )
        await stub.PutEntry(entry, metadata=ROLES)
    agents = [f"sre-{number}" for number in range(AGENTS)]
    return {
        "GetAgentState": [pb.GetAgentStateRequest(agent_id=each) for each in agents],
        "GetPacket": [pb.GetPacketRequest(agent_id=each) for each in agents],
        "GetEntry": [
            pb.GetEntryRequest(task_id="bench", section="problem", key=f"k{n}") for n in range(AGENTS)
        ],
    }


async def compare(
    state: StateProcess, home: Path, seconds: float, rounds: int
) -> dict[str, dict[int, list[tuple[Round, Round]]]]:
    async with client.channel(state.address, internal_key=KEY) as channel:
        stub: Any = StateServiceStub(channel)
        asked = await questions(stub)
        answers = {
            name: await getattr(stub, name)(requests[0], metadata=ROLES) for name, requests in asked.items()
        }
        file = home / "answers.json"
        file.write_text(
            json.dumps({name: answer.SerializeToString().hex() for name, answer in answers.items()})
        )
        program = sys.executable, "-m", "tests.bench.state_reads", "--serve", str(file)
        bare = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        assert bare.stdout is not None
        found: dict[str, dict[int, list[tuple[Round, Round]]]] = {}
        try:
            address = f"127.0.0.1:{int(await bare.stdout.readline())}"
            async with client.channel(address, internal_key=KEY) as other:
                theirs: Any = StateServiceStub(other)
                for _ in range(rounds):
                    for name, requests in asked.items():
                        for in_flight in IN_FLIGHT:
                            how = name, requests
                            pair = (
                                await load(theirs, *how, bare.pid, in_flight, seconds),
                                await load(stub, *how, state.pid, in_flight, seconds),
                            )
                            found.setdefault(name, {}).setdefault(in_flight, []).append(pair)
        finally:
            bare.terminate()
            await bare.wait()
    return found


async def measure(seconds: float, rounds: int) -> dict[str, dict[int, Row]]:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats, valkey = NatsServer(home), ValkeyServer(home)
        nats.start()
        valkey.start()
        state = StateProcess(home, nats.url, valkey.url, **FITTED)
        connection = await connect(nats.url, name="bench")
        try:
            await ensure_stream(connection)
            state.start()
            found = await compare(state, home, seconds, rounds)
        finally:
            await connection.close()
            state.stop()
            valkey.stop()
            nats.stop()
    return {
        name: {in_flight: row(pairs) for in_flight, pairs in both.items()} for name, both in found.items()
    }


def row(pairs: list[tuple[Round, Round]]) -> Row:
    """Medians; the share is that of each round with the bare one right before it."""
    milliseconds = statistics.quantiles([each for _, ours in pairs for each in ours.milliseconds], n=100)
    return Row(
        statistics.median(bare.per_second for bare, _ in pairs),
        statistics.median(ours.per_second for _, ours in pairs),
        statistics.median(ours.per_second / bare.per_second for bare, ours in pairs),
        statistics.median(bare.cpu_us for bare, _ in pairs),
        statistics.median(ours.cpu_us for _, ours in pairs),
        milliseconds[49],
        milliseconds[98],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.serve:
        process.run(lambda stopping: serve(options.serve, stopping))
        return 0
    found = uvloop.run(measure(options.seconds, options.rounds))
    print(f"{'':<28}" + "".join(f"{each:>10}" for each in HEADINGS))
    for name, rows in found.items():
        for in_flight, each in rows.items():
            print(
                f"{name:<15}{in_flight:>3} in flight{each.bare_per_second:>10,.0f}{each.per_second:>10,.0f}"
                f"{each.share:>10.2f}{TARGET:>10.2f}{each.bare_cpu_us:>10.0f}{each.cpu_us:>10.0f}"
                f"{each.p50_ms:>10.2f}{each.p99_ms:>10.2f}"
            )
    print("µs: CPU time of the server for one call")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        told = {name: {n: asdict(each) for n, each in rows.items()} for name, rows in found.items()}
        options.json.write_text(json.dumps({"target": TARGET, **told}, indent=2) + "\n")
    return ended(each.share >= TARGET for rows in found.values() for each in rows.values())


if __name__ == "__main__":
    sys.exit(main())
