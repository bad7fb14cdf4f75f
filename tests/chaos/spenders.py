"""Clients that draw on one budget and settle, over several replicas of policy, and the books they must balance with.

Whoever gets no answer asks again with the same request id, of the next replica. In the end the log is read from the
beginning and counted by hand: nothing of policy's own counting is used.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.process import now
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Exhausted, Fault, Unavailable
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.policy.wire import CODEC

SUBJECT = "evt.default.policy.budget.all"
MOST_TOKENS = 9
PATIENCE_SECONDS = 60.0


@dataclass
class Books:
    """What the clients were told."""

    since: int
    """The sequence of what was prepared: whoever decides must know of it."""
    granted: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    """Reservation id to the tokens that count as spent."""
    refused: int = 0
    unsure: int = 0
    """Refused after a first try to which there was no answer: what that one may have been granted runs out."""
    repeated: int = 0

    @property
    def answers(self) -> int:
        return len(self.granted) + len(self.closed) + self.refused


class Spender:
    """One client: draws with a decision or without one, then settles a part, all or nothing, or forgets it."""

    def __init__(self, number: int, channels: Sequence[grpc.aio.Channel], books: Books) -> None:
        self._number = number
        self._stubs: list[Any] = [PolicyServiceStub(channel) for channel in channels]
        self._books = books
        self._random = random.Random(number)
        self._asked = 0
        self._unsure = False

    async def once(self) -> None:
        """Draw, and settle what was granted."""
        self._asked += 1
        name = f"s{self._number}-{self._asked}"
        tokens = self._random.randint(1, MOST_TOKENS)
        self._unsure = False
        reservation_id = await (self._reserve if self._number % 2 else self._authorize)(name, tokens)
        if not reservation_id:
            self._books.refused += 1
            self._books.unsure += self._unsure
            return
        assert reservation_id not in self._books.granted, "the same reservation was given to two requests"
        self._books.granted[reservation_id] = tokens
        spent = self._random.choice([0, 0, tokens // 2, tokens, None])
        if spent is not None:
            request = pb.SettleReservationRequest(request_id=f"{name}-end", reservation_id=reservation_id)
            if spent:
                request.spent.CopyFrom(pb.Amounts(actions=1 - self._number % 2, tokens=spent))
            await self._insist("SettleReservation", request)
            self._books.closed[reservation_id] = spent

    async def _reserve(self, name: str, tokens: int) -> str:
        request = pb.ReserveBudgetRequest(
            request_id=name, context=self._context(), amounts=pb.Amounts(tokens=tokens)
        )
        try:
            return str((await self._insist("ReserveBudget", request)).reservation.reservation_id)
        except Exhausted:
            return ""  # any other that it may be is insisted on

    async def _authorize(self, name: str, tokens: int) -> str:
        action = pb.Action(action_id="a1", name="diagnostics.memory", target="db-1", environment="sandbox")
        request = pb.AuthorizeRequest(
            request_id=name, context=self._context(), action=action, cost=pb.Amounts(tokens=tokens)
        )
        decision = (await self._insist("Authorize", request)).decision
        if decision.verdict == pb.VERDICT_ALLOW:
            assert decision.reservation_id
            return str(decision.reservation_id)
        assert decision.reason == "BUDGET_SPENT", decision
        return ""

    def _context(self) -> pb.RunContext:
        return pb.RunContext(
            run_id=f"run-{self._number % 4}",
            task_id="task-1",
            agent_id="sre-1",
            mode=pb.MODE_AUTO,
            fencing_token=1,
            at_least_sequence=self._books.since,
        )

    async def _insist(self, method: str, request: Any) -> Any:
        """Until there is an answer, of whichever replica."""
        cause = Cause("default", "", "service:spender", now(), "run-1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                stub = self._random.choice(self._stubs)
                try:
                    return await client.call(
                        getattr(stub, method), request, cause, timeout_seconds=5.0, wait_for_ready=False
                    )
                except Exhausted as fault:
                    if fault.reason == "BUDGET_SPENT":
                        raise
                except Unavailable:
                    pass
                except Fault as fault:
                    if fault.reason != "DEADLINE_EXCEEDED":
                        raise
                self._books.repeated += 1
                self._unsure = True
                await asyncio.sleep(0.02)


async def prepare(stub: Any, put_packet: Callable[[], Any], tokens: int, window_seconds: int) -> Books:
    """An agent with a packet, and one budget for the whole tenant; the books of whoever draws on it."""

    async def call(method: str, request: Any, *roles: str) -> Any:
        cause = Cause("default", "", "key:admin", now(), "run-1")
        return await client.call(getattr(stub, method), request, cause, roles=roles or ("service",))

    await call("RegisterAgent", pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR))
    await put_packet()
    limit = pb.Limit(unit=pb.UNIT_TOKENS, most=tokens)
    made = await call(
        "SetBudget",
        pb.SetBudgetRequest(scope=pb.BUDGET_SCOPE_TENANT, limits=[limit], window_seconds=window_seconds),
        "admin",
    )
    return Books(made.sequence)


@dataclass
class Counted:
    """What the log says, counted by hand."""

    events: int = 0
    asked: int = 0
    charged: int = 0
    given_back: int = 0
    live: dict[str, int] = field(default_factory=dict)
    highest: dict[int, int] = field(default_factory=dict)
    """Of each window, the most that was ever spent and set aside together."""

    @property
    def balances(self) -> bool:
        """Whether all that was set aside was charged, given back, or is set aside still."""
        return self.asked == self.charged + self.given_back + sum(self.live.values())


async def audited(connection: Connection, books: Books, most: int) -> Counted:
    """The whole log of budgets against what the clients were told.

    Raises:
        AssertionError: overspent, lost, or done twice.
    """
    counted, used = Counted(), defaultdict[int, int](int)
    made: dict[str, tuple[int, int]] = {}
    ended: dict[str, int] = {}
    decided: dict[str, int] = {}
    for kind, payload in await _events(connection):
        counted.events += 1
        if kind in ("BudgetReserved", "DecisionsMade"):
            message: Any = getattr(events_pb2, kind).FromString(payload)
            for decision in getattr(message, "decisions", ()):
                allowed_before = decided.get(decision.decision_id) == pb.VERDICT_ALLOW
                assert not allowed_before, "a decision was written twice"
                decided[decision.decision_id] = decision.verdict
            for each in message.reservations:
                assert each.reservation_id not in made, "a request was reserved twice"
                assert not each.decision_id or decided[each.decision_id] == pb.VERDICT_ALLOW
                (charge,) = each.charges
                made[each.reservation_id] = each.amounts.tokens, charge.window
                used[charge.window] += each.amounts.tokens
                counted.asked += each.amounts.tokens
                counted.highest[charge.window] = max(
                    counted.highest.get(charge.window, 0), used[charge.window]
                )
                assert used[charge.window] <= most, (
                    f"window {charge.window} is overspent: {used[charge.window]}"
                )
        elif kind == "ReservationsClosed":
            for end in events_pb2.ReservationsClosed.FromString(payload).closings:
                assert end.reservation_id not in ended, "a reservation was closed twice"
                tokens, window = made[end.reservation_id]
                assert 0 <= end.charged.tokens <= tokens
                ended[end.reservation_id] = end.charged.tokens
                used[window] -= tokens - end.charged.tokens
                counted.charged += end.charged.tokens
                counted.given_back += tokens - end.charged.tokens
    counted.live = {each: tokens for each, (tokens, _) in made.items() if each not in ended}
    assert counted.balances
    assert books.granted == {each: tokens for each, (tokens, _) in made.items()}, (
        "granted and not kept, or kept and not told"
    )
    lost = {each for each, tokens in books.closed.items() if ended.get(each) != tokens}
    assert not lost, f"{len(lost)} that were settled are not so in the log"
    return counted


async def _events(connection: Connection) -> list[tuple[str, bytes]]:
    feed = await JetStreamLog(connection, CODEC, "tests").open((f"{SUBJECT}.*",), 0, None)
    found: list[tuple[str, bytes]] = []
    while True:
        batch = await feed.next()
        found += [(each.event_type, each.payload) for each in batch.events]
        if batch.lag == 0:
            await feed.close()
            return found
