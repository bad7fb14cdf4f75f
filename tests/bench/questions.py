"""How long every question to the ledger takes, over gRPC, among them those made to be slow.

python -m tests.bench.questions [--events 200000] [--book FILE | --postgres] [--json FILE]

The events are runs of twenty by eight agents of two tenants; every tenth run asks people, every 200th breaks a rule.
The book is filled as a rebuild fills it; with --book it is kept and used again. A question that walks through all of it
is timed page by page, and how many pages it takes is told.
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop
from google.protobuf.message import Message as Proto
from pydantic import SecretStr

from chassis.config import ServiceSettings
from chassis.rpc import client
from chassis.rpc.cause import metadata_of
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state
from provost.state.v1 import state_pb2
from services.ledger.adapters.postgres.book import PostgresBook
from services.ledger.adapters.postgres.connection import Database
from services.ledger.adapters.sqlite.book import SqliteBook
from services.ledger.domain.entry import Message
from services.ledger.handlers.answers import Answers
from services.ledger.handlers.causes import Causes
from services.ledger.handlers.watching import Watching
from services.ledger.rpc.reading import Reading
from services.ledger.wire.references import references_of
from services.ledger.wire.understanding import understand
from tests.bench.verdict import ended
from tests.fakes.postgres_server import PostgresServer, new_database
from tests.unit.ledger.story import at, message

LIMIT_MS = 50.0
KEY = "an internal key for the bench"
AGENTS, TASKS, TIMES = 8, 1000, 200
EVENTS_A_RUN = 20


def run_of(number: int, first: int) -> list[Message]:
    """Run `number`; its events are a second apart, and each names the one before it as its cause."""
    tenant = "acme" if number % 10 == 9 else "default"
    run, agent, task = f"run-{number}", f"sre-{number % AGENTS}", f"task-{number % TASKS}"
    person, effect_id = f"key:{('alice', 'bob', 'carol')[number % 3]}", f"effect-{number}"
    # Even agents do one thing, odd ones another; and a thing that was done once, long ago.
    name = "ansible.check" if number % 2 else "diagnostics.memory"
    name = "terraform.apply" if number == 10 else name
    action = policy_pb2.Action(action_id="a1", name=name, target=f"web-{number % 50}", environment="sandbox")
    decision_id = f"{number:032x}"
    approved = number % 10 == 0
    verdict = policy_pb2.VERDICT_DENY if number % 100 == 7 else policy_pb2.VERDICT_ALLOW
    seconds = first + 1.0

    def record(result: "policy_pb2.Verdict.ValueType", id_: str, approval: str = "") -> policy.DecisionRecord:
        return policy.DecisionRecord(
            decision_id=id_,
            agent_id=agent,
            run_id=run,
            task_id=task,
            action=action,
            verdict=result,
            rule="tier.T1_OPERATOR",
            reason="ALLOWED_BY_TIER",
            tier=policy_pb2.TIER_T1_OPERATOR,
            policy_version="1",
            approval_id=approval,
            at=at(seconds),
        )

    packet = state_pb2.Packet(agent_id=agent, task_id=task, objective="look " * 20)
    incident = incident_pb2.Incident(severity="high", cause="memory", confidence=0.75, summary="x" * 400)
    effect = orchestrator_pb2.Effect(
        effect_id=effect_id, action_id="a1", state=orchestrator_pb2.EFFECT_STATE_SUCCEEDED, summary="looked"
    )
    approval_id = f"approval-{number}"
    asked: list[tuple[str, str, Proto]] = []
    if approved:
        asked = [
            (
                "approval",
                approval_id,
                policy.ApprovalRequested(
                    approval_id=approval_id,
                    action=action,
                    run_id=run,
                    task_id=task,
                    agent_id=agent,
                    requested_by=person,
                    at=at(seconds),
                    expire_time=at(seconds + 3600),
                ),
            ),
            (
                "approval",
                approval_id,
                policy.ApprovalAnswered(approval_id=approval_id, run_id=run, approved=True, by="key:dan"),
            ),
            (
                "approval",
                approval_id,
                policy.ApprovalUsed(approval_id=approval_id, decision_id=decision_id, run_id=run),
            ),
        ]
    broken = number % 200 == 17
    phase = orchestrator.RunPhaseEntered(run_id=run, agent_id=agent, phase=orchestrator_pb2.PHASE_PLAN)
    told: list[tuple[str, str, Proto]] = [
        ("run", run, orchestrator.RunStarted(run_id=run, task_id=task, agent_id=agent, requested_by=person)),
        ("agent", agent, state.PacketIssued(packet=packet)),
        ("agent", agent, state.LockAcquired(agent_id=agent, task_id=task, holder=run)),
        ("run", run, orchestrator.PlanRecorded(run_id=run, agent_id=agent, incident=incident)),
        *asked,
        (
            "decisions",
            f"replica-{number % 4}",
            policy.DecisionsMade(decisions=[record(verdict, decision_id, approval_id if approved else "")]),
        ),
        *(
            [
                (
                    "agent",
                    agent,
                    state.ErrorRecorded(
                        agent_id=agent,
                        task_id=task,
                        run_id=run,
                        error_type="FORBIDDEN_BY_PACKET",
                        procedure_violation=True,
                        at=at(seconds),
                    ),
                )
            ]
            if broken
            else []
        ),
        (
            "run",
            run,
            orchestrator.EffectIntended(
                run_id=run, agent_id=agent, effect_id=effect_id, action_id="a1", decision_id=decision_id
            ),
        ),
        ("run", run, orchestrator.EffectsObserved(run_id=run, agent_id=agent, effects=[effect])),
    ]
    told += [("run", run, phase)] * (EVENTS_A_RUN - 1 - len(told))
    told.append(
        ("run", run, orchestrator.RunEnded(run_id=run, task_id=task, agent_id=agent, compliant=not broken))
    )
    led, made = "", []
    for n, (aggregate, id_, event) in enumerate(told):
        actor = person if n == 0 else "service:orchestrator"
        made.append(
            message(
                first + n,
                event,
                tenant=tenant,
                aggregate=aggregate,
                id=id_,
                correlation_id=run,
                causation_id=led,
                actor=actor,
                event_id=f"{number:08d}-{n:02d}",
            )
        )
        led = f"{number:08d}-{n:02d}"
    return made


def history() -> Iterator[Message]:
    """Agents are registered, then there are runs, for ever."""
    for number in range(AGENTS):
        registered = policy.AgentRegistered(
            agent_id=f"sre-{number}", tier=policy_pb2.TIER_T1_OPERATOR, at=at(number)
        )
        yield message(number + 1, registered, id=f"sre-{number}", actor="key:admin")
    number, first = 0, AGENTS + 1
    while True:
        yield from run_of(number, first)
        number, first = number + 1, first + EVENTS_A_RUN


Shelved = SqliteBook | PostgresBook


async def fill(book: Shelved, events: int) -> None:
    """Open it, and put so many events in, unless they are there."""
    await book.open()
    if (await book.position()).size == events:
        return
    draft, messages = await book.beside(), history()
    for begin in range(0, events, 5000):
        await draft.append(list(islice(messages, min(5000, events - begin))))
    await draft.finish()
    await draft.publish()


class _Served:
    """The part of the ledger that answers questions, at rest."""

    def __init__(self, book: Shelved, position: Any) -> None:
        self.answers = Answers(book)
        self.position = position
        self.watching = Watching(book, lambda: position, _never)


async def _never(_: int) -> None:
    await asyncio.Event().wait()


Ask = Callable[[str, Any], Awaitable[Any]]


def stamped(request: Any, begin: float, end: float) -> Any:
    """The request, between two times of the story in seconds."""
    request.from_time.CopyFrom(at(begin))
    request.to_time.CopyFrom(at(end))
    return request


def filtered(**wanted: str) -> pb.ListEventsRequest:
    return pb.ListEventsRequest(page_size=50, filter=pb.EventFilter(**wanted))  # type: ignore[arg-type]


def questions(events: int) -> dict[str, tuple[str, Callable[[int], Any]]]:
    """Method and request of each, the n-th time it is asked."""
    runs = (events - AGENTS) // EVENTS_A_RUN
    last = float(events)
    long_ago = stamped(pb.EventFilter(agent_id="sre-2"), 3000, 3010)
    return {
        "events, newest": ("ListEvents", lambda n: pb.ListEventsRequest(page_size=50)),
        "events, 250 oldest": (
            "ListEvents",
            lambda n: pb.ListEventsRequest(page_size=500, oldest_first=True),
        ),
        "events of a run": ("ListEvents", lambda n: filtered(run_id=f"run-{n * 97 % runs}")),
        "events of an agent": ("ListEvents", lambda n: filtered(agent_id=f"sre-{n % AGENTS}")),
        "events of a task and a type": (
            "ListEvents",
            lambda n: filtered(task_id=f"task-{n}", event_type="RunEnded"),
        ),
        "events by a person": ("ListEvents", lambda n: filtered(actor="key:bob")),
        "events of a rare action": ("ListEvents", lambda n: filtered(action="terraform.apply")),
        "events long ago": ("ListEvents", lambda n: pb.ListEventsRequest(page_size=50, filter=long_ago)),
        "events: two common, none both": (
            "ListEvents",
            lambda n: filtered(agent_id="sre-2", action="ansible.check"),
        ),
        "events: three common, none all": (
            "ListEvents",
            lambda n: filtered(actor="key:alice", event_type="RunPhaseEntered", context="orchestrator"),
        ),
        "events of nobody": ("ListEvents", lambda n: filtered(agent_id="nobody")),
        "one event": ("GetEvent", lambda n: pb.GetEventRequest(event_id=f"{n * 131 % runs:08d}-03")),
        "actions, newest": ("ListAgentActions", lambda n: pb.ListAgentActionsRequest(page_size=50)),
        "actions of an agent, denied": (
            "ListAgentActions",
            lambda n: pb.ListAgentActionsRequest(agent_id="sre-3", decision="DENY"),
        ),
        "actions: a rare one": (
            "ListAgentActions",
            lambda n: pb.ListAgentActionsRequest(action="terraform.apply"),
        ),
        "actions: two common, none both": (
            "ListAgentActions",
            lambda n: pb.ListAgentActionsRequest(agent_id="sre-2", action="ansible.check"),
        ),
        "actions long ago": (
            "ListAgentActions",
            lambda n: stamped(pb.ListAgentActionsRequest(agent_id="sre-2"), 3000, 4000),
        ),
        "actions in all that time, denied": (
            "ListAgentActions",
            lambda n: stamped(pb.ListAgentActionsRequest(decision="DENY", action="ansible.check"), 0, last),
        ),
        "metrics": ("ListAgentMetrics", lambda n: pb.ListAgentMetricsRequest()),
        "violations of an agent": ("ListViolations", lambda n: pb.ListViolationsRequest(agent_id="sre-1")),
        "violations long ago": ("ListViolations", lambda n: stamped(pb.ListViolationsRequest(), 300, 9000)),
        "promotions": ("ListPromotions", lambda n: pb.ListPromotionsRequest(to_tier="T1_OPERATOR")),
        "approvals of an agent, used": (
            "ListApprovalRecords",
            lambda n: pb.ListApprovalRecordsRequest(agent_id="sre-2", state="USED"),
        ),
        "approvals: none expired": (
            "ListApprovalRecords",
            lambda n: pb.ListApprovalRecordsRequest(agent_id="sre-2", state="EXPIRED"),
        ),
        "causes of an effect": (
            "TraceCauses",
            lambda n: pb.TraceCausesRequest(effect_id=f"effect-{n * 10 % runs // 10 * 10}"),
        ),
        "replay of a run": (
            "ReplayRun",
            lambda n: pb.ReplayRunRequest(run_id=f"run-{n * 10 % runs // 10 * 10}"),
        ),
    }


async def pages(ask: Ask, method: str, request: Any) -> tuple[list[float], int, int]:
    """How long each page took, how many there were, and how many rows; at most 40 pages."""
    took: list[float] = []
    rows = 0
    while len(took) < 40:
        began = time.perf_counter()
        answer = await ask(method, request)
        took.append((time.perf_counter() - began) * 1000)
        first = answer.DESCRIPTOR.fields[0]
        rows += len(getattr(answer, first.name)) if first.is_repeated else 1
        token = getattr(answer, "next_page_token", "")
        if not token or rows >= 50:
            break
        request.page_token = token
    return took, len(took), rows


def collect_seldom() -> None:
    """As the ledger's process does (`chassis.process.run`): looking for garbage takes longer than most questions."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def on_postgres(events: int) -> dict[str, dict[str, float]]:
    """The same, of a book in PostgreSQL."""
    database = PostgresServer()
    database.start()
    try:
        return await measure(events, PostgresBook(Database(await new_database(database)), understand))
    finally:
        database.stop()
        database.remove()


async def measure(events: int, book: Shelved) -> dict[str, dict[str, float]]:
    began = time.perf_counter()
    await fill(book, events)
    print(f"{events:,} events in {time.perf_counter() - began:.0f} s")
    settings = ServiceSettings(_env_file=None, internal_key=SecretStr(KEY))
    server = Server(settings, "ledger", port=0)
    served: Any = _Served(book, await book.position())
    servicer: Any = type("Served", (Reading,), {"__abstractmethods__": frozenset()})
    causes = Causes(book, understand, references_of)
    server.add(add_LedgerServiceServicer_to_server, servicer(served, causes))
    await server.start()
    collect_seldom()
    metadata = metadata_of(Cause("default", "r", "key:bench", datetime(2026, 3, 1, tzinfo=UTC)), ("viewer",))
    measured: dict[str, dict[str, float]] = {}
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        stub = LedgerServiceStub(channel)

        async def ask(method: str, request: Any) -> Any:
            return await getattr(stub, method)(request, metadata=metadata, timeout=60)

        for name, (method, request) in questions(events).items():
            took: list[float] = []
            most, rows, busy = 0, 0, time.process_time()
            for n in range(TIMES):
                try:
                    each, count, rows = await pages(ask, method, request(n))
                except grpc.aio.AioRpcError as error:
                    # Every tenth run is another tenant's.
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                    continue
                took += each
                most = max(most, count)
            took.sort()
            measured[name] = {
                "p50": took[len(took) // 2],
                "p99": took[len(took) * 99 // 100],
                "CPU": (time.process_time() - busy) * 1000 / len(took),
                "pages": most,
                "rows": rows,
            }
    await server.stop()
    await book.close()
    return measured


def show(measured: dict[str, dict[str, float]]) -> int:
    print(f"\n{'milliseconds a page':<36}{'p50':>9}{'p99':>9}{'at most':>9}{'CPU':>7}{'pages':>7}{'rows':>7}")
    late = 0
    for name, each in measured.items():
        mark = " !" if each["p99"] > LIMIT_MS else ""
        late += bool(mark)
        figures = f"{each['p50']:>9.1f}{each['p99']:>9.1f}{LIMIT_MS:>9.0f}{each['CPU']:>7.1f}"
        figures += f"{each['pages']:>7.0f}{each['rows']:>7.0f}"
        print(f"{name:<36}{figures}{mark}")
    return ended([not late])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--book", type=Path)
    parser.add_argument("--postgres", action="store_true", help="of a book in PostgreSQL")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.postgres:
            measured = uvloop.run(on_postgres(options.events))
        else:
            book = SqliteBook(options.book or Path(name) / "ledger.db", understand)
            measured = uvloop.run(measure(options.events, book))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return show(measured)


if __name__ == "__main__":
    raise SystemExit(main())
