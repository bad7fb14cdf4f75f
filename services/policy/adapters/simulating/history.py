"""The log as it was: what each recorded decision rested on, put together again as the log goes by."""

from collections.abc import Iterator
from datetime import timedelta

from chassis.eventlog.codec import Codec, Unreadable
from chassis.eventlog.headers import is_event
from chassis.telemetry import get_logger
from kernel.events import Recorded
from provost.state.v1 import events_pb2 as state_events_pb2
from services.policy.domain.action import Packet
from services.policy.domain.agent import AGENT, Agent
from services.policy.domain.approval import APPROVAL, Approval
from services.policy.domain.budget import BudgetReserved
from services.policy.domain.closing import ReservationsClosed
from services.policy.domain.decision import DecisionRecord, DecisionsMade
from services.policy.domain.flips import FlipCounts, Happened, Simulation, Then, at_tier
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_published import PolicySetPublished
from services.policy.domain.spending import SetAside
from services.policy.ports.sets import PolicySetReader

COMMITTED_WITHIN = timedelta(minutes=10)
"""How far the time of an event may be from those of the decisions in it."""

KNOWN = 50_000
"""So many ids of decisions are remembered, and at most twice as many."""

_log = get_logger("policy.simulating")


def filters(tenant: str) -> tuple[str, ...]:
    """What has to be read of the log."""
    return (
        f"evt.{tenant}.policy.agent.*.*",
        f"evt.{tenant}.policy.approval.*.*",
        f"evt.{tenant}.policy.policyset.*.*",
        f"evt.{tenant}.policy.decisions.*.DecisionsMade",
        f"evt.{tenant}.policy.budget.*.DecisionsMade",
        f"evt.{tenant}.policy.budget.*.BudgetReserved",
        f"evt.{tenant}.policy.budget.*.ReservationsClosed",
        f"evt.{tenant}.state.agent.*.PacketIssued",
        f"evt.{tenant}.state.agent.*.RunLabelled",
    )


class History:
    """Agents, packets, labels and sets as they were at each point of the log."""

    def __init__(
        self,
        asked: Simulation,
        codec: Codec,
        reader: PolicySetReader,
        tally: FlipCounts,
        *,
        others: bool,
    ) -> None:
        """`others`: whether what the others decide counts, too, where one agent is asked about."""
        self._asked = asked
        self._codec = codec
        self._reader = reader
        self._tally = tally
        self._others = others
        self._known: tuple[set[str], set[str]] = set(), set()
        self._agents: dict[str, Agent | None] = {}
        self._approvals: dict[str, Approval] = {}
        self._packets: dict[str, Packet] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        default = reader.read(reader.default_document)
        self._compiled: dict[str, PolicySet | None] = {default.version: default}
        self._documents: dict[str, str] = {}

    def take(self, recorded: Recorded) -> Iterator[Happened]:
        """What `recorded` holds of decisions, with what they rested on, and of budgets; anything else is remembered."""
        if not is_event(recorded):
            return
        _, _, _, aggregate, key, event_type = recorded.subject.split(".")
        match aggregate, event_type:
            case _, "DecisionsMade":
                yield from self._decisions(recorded)
            case _, "ReservationsClosed" | "BudgetReserved":
                yield from self._spent(recorded)
            case "policyset", _:
                self._published(recorded)
            case _, "PacketIssued":
                self._packet(key, recorded)
            case _, "RunLabelled":
                said = state_events_pb2.RunLabelled.FromString(recorded.payload)
                self._labels[said.run_id] = (*self._labels.get(said.run_id, ()), *said.labels)
            case "approval", _:
                self._approval(key, recorded)
            case "agent", _:
                self._agent(key, recorded)
            case _:
                pass  # nothing that a decision rests on

    def _decisions(self, recorded: Recorded) -> Iterator[Then]:
        if self._elsewhen(recorded):
            return
        try:
            made = self._codec.decode(recorded)
        except Unreadable as problem:
            _log.error("decisions not read", problem=problem.text)
            self._tally.leave_out("unreadable")
            return
        assert isinstance(made, DecisionsMade)
        reserved = {each.decision_id for each in made.reservations}
        for record in made.decisions:
            told = self._asked.is_about(record.agent_id)
            if not (told or self._others) or not self._asked.covers(record.at) or self._again(record):
                continue
            self._tally.decisions += told
            agent = self._agents.get(record.agent_id, AGENT.initial)
            if agent is None:
                if told:
                    self._tally.leave_out("unreadable")
                continue
            if not record.labels and record.run_id in self._labels:
                record.labels = self._labels[record.run_id]  # from before decisions said theirs
            yield Then(
                record,
                at_tier(agent, record),
                self._packets.get(record.agent_id),
                self._policy(record.policy_version),
                self._approvals.get(record.approval_id) if record.approval_id else None,
                record.decision_id in reserved,
                record.action.target,
                told,
            )

    def _again(self, record: DecisionRecord) -> bool:
        """Whether it was recorded before: two replicas may answer the same request, under one id, and alike."""
        young, old = self._known
        said = f"{record.decision_id} {record.verdict}"
        if said in young or said in old:
            return True
        if len(young) >= KNOWN:
            self._known = young, old = set(), young
        young.add(said)
        return False

    def _spent(self, recorded: Recorded) -> Iterator[Happened]:
        try:
            event = self._codec.decode(recorded)
        except Unreadable as problem:
            _log.error("budgets not read", problem=problem.text)
            return
        if isinstance(event, ReservationsClosed):
            yield event
            return
        assert isinstance(event, BudgetReserved)
        for each in event.reservations:
            if self._asked.covers(each.at) and (self._others or self._asked.is_about(each.agent_id)):
                agent = self._agents.get(each.agent_id) or AGENT.initial
                yield SetAside(each, agent.tier)

    def _elsewhen(self, recorded: Recorded) -> bool:
        """Whether all decisions in it lie outside of what is asked for: then it need not be decoded."""
        asked = self._asked
        if asked.from_time is None and asked.to_time is None:
            return False
        at = recorded.time
        if at is None:
            return False
        if asked.from_time is not None and asked.from_time - at > COMMITTED_WITHIN:
            return True
        return asked.to_time is not None and at - asked.to_time > COMMITTED_WITHIN

    def _agent(self, agent_id: str, recorded: Recorded) -> None:
        agent = self._agents.get(agent_id, AGENT.initial)
        if agent is None:
            return
        try:
            event = self._codec.decode(recorded)
            self._agents[agent_id] = AGENT.evolve(agent, event)  # type: ignore[arg-type]  # the subject says it is
        except Unreadable as problem:
            _log.error("agent not read", problem=problem.text)
            self._agents[agent_id] = None  # as for live decisions: nothing is known of it any more

    def _approval(self, approval_id: str, recorded: Recorded) -> None:
        known = self._approvals.get(approval_id, APPROVAL.initial)
        try:
            event = self._codec.decode(recorded)
            self._approvals[approval_id] = APPROVAL.evolve(known, event)  # type: ignore[arg-type]  # the subject says it is
        except Unreadable as problem:
            _log.error("approval not read", problem=problem.text)
            self._approvals.pop(approval_id, None)

    def _packet(self, agent_id: str, recorded: Recorded) -> None:
        try:
            packet = self._codec.decode(recorded)
        except Unreadable:
            self._packets.pop(agent_id, None)  # as for live decisions: it might have forbidden anything
            return
        assert isinstance(packet, Packet)
        self._packets[agent_id] = packet

    def _published(self, recorded: Recorded) -> None:
        try:
            event = self._codec.decode(recorded)
        except Unreadable as problem:
            _log.error("policy set not read", problem=problem.text)
            return
        if isinstance(event, PolicySetPublished):
            self._documents[event.version] = event.document
            self._compiled.pop(event.version, None)

    def _policy(self, version: str) -> PolicySet | None:
        """The set that was in force then; None when it is not known any more, or cannot be read."""
        if version not in self._compiled:
            document = self._documents.get(version)
            try:
                self._compiled[version] = self._reader.read(document) if document is not None else None
            except PolicySetInvalid:
                self._compiled[version] = None
        return self._compiled[version]
