"""A log with decisions in it, as policy and state would have written them: for what reads history."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from kernel.events import Cause, Head, Stream
from provost.state.v1 import events_pb2 as state_events_pb2
from provost.state.v1 import state_pb2
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.domain.action import Action, Mode, Packet
from services.policy.domain.agent import AGENT, Agent, AgentRegistered
from services.policy.domain.amounts import Amounts
from services.policy.domain.closing import Closing, ReservationsClosed
from services.policy.domain.decision import DecisionRecord, DecisionsMade, Question, judge
from services.policy.domain.policyset import PolicySet
from services.policy.domain.reservation import Reservation
from services.policy.domain.tier import Tier
from services.policy.wire import CODEC

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SETS = YamlPolicySets()
DEFAULT = SETS.read(SETS.default_document)
TENANT = "default"

_numbers = count(1)


def changed(version: str, *changes: tuple[str, str]) -> str:
    """The built-in set under another version, with each old text put in place of a new one."""
    document = SETS.default_document.replace(f'version: "{DEFAULT.version}"', f'version: "{version}"')
    document = document.replace(f"version: {DEFAULT.version}\n", f'version: "{version}"\n')
    assert f'version: "{version}"' in document
    for old, new in changes:
        assert old in document, old
        document = document.replace(old, new)
    return document


def an_agent(agent_id: str = "sre-1", tier: Tier = Tier.T1_OPERATOR) -> Agent:
    return AGENT.fold([AgentRegistered(agent_id, tier, "1.0", f"role-{agent_id}", AT)])


def decided(
    name: str = "diagnostics.memory",
    *,
    agent: Agent | None = None,
    environment: str = "sandbox",
    target: str = "localhost",
    mode: Mode = Mode.AUTO,
    run_id: str = "run-1",
    policy: PolicySet = DEFAULT,
    labels: tuple[str, ...] = (),
    after_seconds: float = 0.0,
) -> DecisionRecord:
    """A decision as policy would have recorded it then."""
    agent = agent or an_agent()
    action = Action("a1", name, target, environment, {"top": "5"})
    packet = Packet(agent.agent_id, "task-1")
    said = judge(Question(action, mode, agent.agent_id, "task-1", agent, packet, policy, labels))
    number = next(_numbers)
    return DecisionRecord(
        f"{number:032x}", agent.agent_id, run_id, "task-1", action, mode, said.verdict, said.rule, said.reason,
        said.explanation, agent.tier, policy.version, f"sha256:{number:064x}", "", "1.0",
        AT + timedelta(seconds=after_seconds), labels,
    )  # fmt: skip


class Written:
    """Puts events at the end of a log."""

    def __init__(self, connection: Connection, tenant: str = TENANT) -> None:
        self._connection = connection
        self._log = JetStreamLog(connection, CODEC, "tests")
        self._tenant = tenant
        self._heads: dict[Stream, Head] = {}

    async def put(self, context: str, aggregate: str, key: str, event: object, at: datetime = AT) -> int:
        stream = Stream(self._tenant, context, aggregate, key)
        head = self._heads.get(stream, Head())
        cause = Cause(self._tenant, f"request-{next(_numbers)}", "service:tests", at)
        appended = await self._log.append(stream, (event,), after=head, cause=cause)
        self._heads[stream] = Head(appended.sequence, head.version + 1)
        return appended.sequence

    async def agent(self, agent: Agent) -> None:
        """Its registration and a packet that leaves everything to its tier."""
        assert agent.registered is not None
        await self.put("policy", "agent", agent.agent_id, agent.registered)
        await self.packet(agent.agent_id)

    async def packet(self, agent_id: str, scope: Sequence[str] = (), forbidden: Sequence[str] = ()) -> None:
        constraints = state_pb2.Constraints(scope=scope, forbidden=forbidden)
        packet = state_pb2.Packet(agent_id=agent_id, task_id="task-1", constraints=constraints)
        await self._raw("agent", agent_id, state_events_pb2.PacketIssued(packet=packet))

    async def labelled(self, agent_id: str, run_id: str, *labels: str) -> None:
        event = state_events_pb2.RunLabelled(agent_id=agent_id, run_id=run_id, labels=labels)
        await self._raw("agent", agent_id, event)

    async def decisions(self, records: Iterable[DecisionRecord], aggregate: str = "decisions") -> int:
        """All in one event."""
        made = tuple(records)
        key = "all" if aggregate == "budget" else "replica-1"
        return await self.put("policy", aggregate, key, DecisionsMade(made), made[0].at)

    async def spent(self, record: DecisionRecord, hosts: tuple[str, ...], closing: Closing | None) -> None:
        """A decision that drew on budgets, and how that came out, in two events that may be read together."""
        reservation_id, expires = f"d-{record.decision_id}", record.at + timedelta(minutes=5)
        set_aside = Reservation(
            reservation_id, record.agent_id, record.run_id, record.task_id, Amounts(1, hosts=hosts), (),
            record.decision_id, record.at, expires,
        )  # fmt: skip
        await self.put("policy", "budget", "all", DecisionsMade((record,), (set_aside,)), record.at)
        if closing is not None:
            await self.put("policy", "budget", "all", ReservationsClosed((closing,)), record.at)

    async def _raw(self, aggregate: str, key: str, event: object) -> None:
        name = type(event).__name__
        header = f"NATS/1.0\r\nce-type: provost.state.v1.{name}\r\n\r\n".encode()
        subject = f"evt.{self._tenant}.state.{aggregate}.{key}.{name}"
        payload: bytes = event.SerializeToString()  # type: ignore[attr-defined]
        _, answer = await self._connection.ask(subject, payload, header=header, timeout_seconds=30)
        assert b'"seq"' in answer, answer


def approved(record: DecisionRecord, approval_id: str = "approval-1") -> DecisionRecord:
    """The same action once more, when the approval it needed had been given."""
    again = replace(
        record,
        decision_id=f"{next(_numbers):032x}",
        approval_id=approval_id,
        reason="ALLOWED_BY_APPROVAL",
    )
    again.verdict = type(record.verdict)("ALLOW")
    return again
