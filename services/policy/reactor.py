"""From the event log into memory: agents, approvals, policy sets, budgets, and the packets that state hands out.

Policy does not follow its own decisions: it would read everything it has just written.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec, Unreadable
from chassis.powers.announcing import ANNOUNCED
from chassis.process import jitter
from chassis.telemetry import get_logger
from kernel.events import Recorded
from kernel.faults import Conflict, Fault, Unavailable
from kernel.ports import EventLog, Following
from services.policy.domain.action import Packet
from services.policy.domain.agent import AGENT, AgentRegistered
from services.policy.domain.approval import APPROVAL, ApprovalRequested
from services.policy.domain.budget import BUDGET
from services.policy.domain.demand import PROMOTE
from services.policy.domain.labels import RunLabelled
from services.policy.domain.outcomes import ErrorNoted, RunActed, RunChecked, RunOver
from services.policy.domain.policyset_published import POLICY_SET, PolicySetPublished, PolicySetRolledBack
from services.policy.domain.recorded_errors import ErrorCounts
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.standing import AgentDemoted, AgentPromoted, AgentResumed
from services.policy.domain.track_record import NOTHING_SHOWN, TrackRecord, TrackRecords
from services.policy.domain.votes import ApprovalAnswered
from services.policy.wire.budgets import BUDGET_CODEC

FILTERS = (
    "evt.*.policy.agent.*.*",
    "evt.*.policy.approval.*.*",
    "evt.*.policy.policyset.*.*",
    "evt.*.policy.budget.all.*",
    "evt.*.state.agent.*.PacketIssued",
    "evt.*.state.agent.*.RunLabelled",
    "evt.*.state.agent.*.ErrorRecorded",
    "evt.*.orchestrator.run.*.EffectIntended",
    "evt.*.orchestrator.run.*.RunVerified",
    "evt.*.orchestrator.run.*.RunEnded",
    ANNOUNCED,
)

RETRY_SECONDS = 1.0
EXPIRE_SECONDS = 5.0
UNHEALTHY_SECONDS = 5.0  # a decision is refused much sooner; this is for whoever chooses a replica

Take = Callable[[Sequence[Recorded]], Awaitable[None]]
AgentKey = tuple[str, str]
"""Tenant and agent id."""

_log = get_logger("policy.reactor")


class HeldPackets:
    """Implements `Packets`: the newest one of each agent."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._packets: dict[tuple[str, str], Packet] = {}

    def current(self, tenant: str, agent_id: str) -> Packet | None:
        return self._packets.get((tenant, agent_id))

    async def take(self, events: Sequence[Recorded]) -> None:
        """An unreadable packet leaves its agent without one, so that nothing is allowed that it might forbid."""
        for recorded in events:
            if recorded.event_type != "PacketIssued":
                continue
            stream = recorded.stream
            try:
                packet = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("packet not read", problem=problem.text)
                self._packets.pop((stream.tenant, stream.id), None)
                continue
            assert isinstance(packet, Packet)
            self._packets[stream.tenant, stream.id] = packet


class HeldLabels:
    """Implements `Labels`. Kept for good: an agent may come back with a run that has ended."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._runs: dict[tuple[str, str], dict[str, tuple[str, ...]] | None] = {}

    def current(self, tenant: str, agent_id: str, run_id: str | None) -> tuple[str, ...] | None:
        runs = self._runs.get((tenant, agent_id), _NO_RUNS)
        if runs is None:
            return None
        if run_id is not None or not runs:
            return runs.get(run_id or "", ())
        return tuple(sorted({label for labels in runs.values() for label in labels}))

    async def take(self, events: Sequence[Recorded]) -> None:
        """What cannot be read may be any label of any run: then nothing is known of this agent's."""
        for recorded in events:
            if recorded.event_type != "RunLabelled":
                continue
            stream = recorded.stream
            key = stream.tenant, stream.id
            runs = self._runs.setdefault(key, {})
            try:
                labelled = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("labels not read", problem=problem.text)
                self._runs[key] = runs = None
            if runs is not None:
                assert isinstance(labelled, RunLabelled)
                stuck = {*runs.get(labelled.run_id, ()), *labelled.labels}
                runs[labelled.run_id] = tuple(sorted(stuck))


class HeldErrors:
    """Implements `RecordedErrors`."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._counts: dict[str, ErrorCounts] = {}

    def count(self, tenant: str, scope: BudgetScope, scope_id: str, since_seconds: int) -> int:
        counts = self._counts.get(tenant)
        return 0 if counts is None else counts.count(scope, scope_id, since_seconds)

    async def take(self, events: Sequence[Recorded]) -> None:
        """One that cannot be read counts for nobody but its agent, as of 1970 and so in no window."""
        for recorded in events:
            if recorded.event_type != "ErrorRecorded":
                continue
            stream = recorded.stream
            try:
                noted = self._codec.decode(recorded)
            except Unreadable as problem:
                _log.error("error not read", problem=problem.text)
                noted = ErrorNoted(stream.id, "", "", False, _EPOCH)
            assert isinstance(noted, ErrorNoted)
            self._counts.setdefault(stream.tenant, ErrorCounts()).add(noted)


class HeldRecords:
    """Implements `Records`, and knows whose have changed since somebody looked."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._records: dict[str, TrackRecords] = {}
        self._promotions: dict[AgentKey, tuple[str, ...]] = {}
        self._awaited: dict[tuple[str, str], str] = {}
        self._children: dict[AgentKey, set[str]] = {}
        self._noted: deque[str] = deque(maxlen=REMEMBERED_EVENTS)
        self._touched: set[AgentKey] = set()
        self._changed = asyncio.Event()

    def current(self, tenant: str, agent_id: str) -> TrackRecord:
        known = self._records.get(tenant)
        return NOTHING_SHOWN if known is None else known.of(agent_id)

    def promotions(self, tenant: str, agent_id: str) -> tuple[str, ...]:
        return self._promotions.get((tenant, agent_id), ())

    def touch(self, tenant: str, agent_id: str) -> None:
        """Somebody has to look at this agent again."""
        self._touched.add((tenant, agent_id))
        self._changed.set()

    async def changed(self) -> frozenset[AgentKey]:
        """Whom to look at, as soon as there is somebody; each is named once for any number of changes."""
        await self._changed.wait()
        self._changed.clear()
        touched, self._touched = frozenset(self._touched), set()
        return touched

    async def take(self, events: Sequence[Recorded]) -> None:
        """What cannot be read counts for nothing: nobody is moved by it."""
        for recorded in events:
            if recorded.event_type not in _TELLING:
                continue
            try:
                self._heed(recorded.stream.tenant, recorded.event_id, self._codec.decode(recorded))
            except Unreadable as problem:
                _log.error("record not read", problem=problem.text)

    def _heed(self, tenant: str, event_id: str, event: object) -> None:
        records = self._records.setdefault(tenant, TrackRecords())
        match event:
            case RunActed() | RunChecked() | RunOver() | ErrorNoted():
                if isinstance(event, ErrorNoted) and event.violation:
                    if event_id in self._noted:
                        return  # told twice
                    self._noted.append(event_id)
                if agent := records.take(event):
                    self.touch(tenant, agent)
            case PolicySetPublished() | PolicySetRolledBack():
                for agent_id in records.records:
                    self.touch(tenant, agent_id)
            case _:
                self._decided(tenant, records, event)

    def _decided(self, tenant: str, records: TrackRecords, event: object) -> None:
        match event:
            case AgentRegistered(agent_id=agent_id, parent_agent_id=parent):
                if parent:
                    self._children.setdefault((tenant, parent), set()).add(agent_id)
            case AgentPromoted(agent_id=agent_id) | AgentDemoted(agent_id=agent_id):
                records.new_tier(agent_id)
                for each in (agent_id, *self._children.get((tenant, agent_id), ())):
                    self.touch(tenant, each)
            case AgentResumed(agent_id=agent_id):
                self.touch(tenant, agent_id)
            case ApprovalRequested(approval_id=approval_id, action=action, agent_id=agent_id):
                if action.name == PROMOTE:
                    known = self._promotions.get((tenant, agent_id), ())
                    self._promotions[tenant, agent_id] = (*known, approval_id)
                    self._awaited[tenant, approval_id] = agent_id
            case ApprovalAnswered(approval_id=approval_id):
                if agent := self._awaited.pop((tenant, approval_id), ""):
                    self.touch(tenant, agent)
            case _:
                pass  # nothing in it that a record is made of


REMEMBERED_EVENTS = 1024
_TELLING = frozenset(
    {
        "AgentRegistered", "AgentPromoted", "AgentDemoted", "AgentResumed", "ApprovalRequested", "ApprovalAnswered",
        "PolicySetPublished", "PolicySetRolledBack", "EffectIntended", "RunVerified", "RunEnded", "ErrorRecorded",
    }
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_RUNS: dict[str, tuple[str, ...]] = {}


class Held:
    """What policy keeps in memory of the log; the follower delivers to it."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self.agents = HeldAggregates(AGENT, log, codec)
        self.approvals = HeldAggregates(APPROVAL, log, codec)
        self.published = HeldAggregates(POLICY_SET, log, codec)
        self.packets = HeldPackets(codec)
        self.labels = HeldLabels(codec)
        self.records = HeldRecords(codec)
        self.errors = HeldErrors(codec)
        self.budgets = HeldAggregates(BUDGET, log, BUDGET_CODEC)
        self._takers: tuple[Take, ...] = (
            self.agents.take,
            self.approvals.take,
            self.published.take,
            self.packets.take,
            self.labels.take,
            self.records.take,
            self.errors.take,
            self.budgets.take,
        )

    def also(self, take: Take) -> None:
        """Deliver to `take`, too, once everything here has been folded."""
        self._takers += (take,)

    async def deliver(self, events: Sequence[Recorded]) -> None:
        for take in self._takers:
            await take(events)


async def keep_health(
    following: Following,
    set_serving: Callable[[bool], Awaitable[None]],
    opa_answers: Callable[[], Awaitable[bool]] | None = None,
) -> None:
    """Serving as long as the newest revocations are known here, and the OPA server, if there is one, answers.

    Looks once a second, until cancelled.
    """
    while True:
        answers = opa_answers is None or await opa_answers()
        await set_serving(answers and following.stale_seconds <= UNHEALTHY_SECONDS)
        await asyncio.sleep(1.0)


async def keep_trust(records: HeldRecords, settle: Callable[[str, str], Awaitable[None]]) -> None:
    """Looks at everybody whose record has changed, until cancelled; what may be otherwise soon is looked at again."""
    while True:
        again: list[AgentKey] = []
        for key in await records.changed():
            try:
                await settle(*key)
            except (Unavailable, Conflict) as fault:
                _log.warning("tier not looked at", agent_id=key[1], reason=fault.reason)
                again.append(key)
            except Fault as fault:
                _log.warning("tier not moved", agent_id=key[1], reason=fault.reason, problem=fault.text)
        if again:
            await asyncio.sleep(RETRY_SECONDS)
            for key in again:
                records.touch(*key)


async def keep_ended(settle: Callable[[], Awaitable[int]]) -> None:
    """What the revoked still have elsewhere is taken away as soon as it can be; until cancelled."""
    while True:
        if left := await settle():
            _log.warning("not ended yet", agents=left)
        await asyncio.sleep(RETRY_SECONDS)


async def keep_expired(expire: Callable[[datetime], Awaitable[int]], now: Callable[[], datetime]) -> None:
    """Close what nobody has settled in time, every few seconds, until cancelled; any replica may."""
    while True:
        await asyncio.sleep(EXPIRE_SECONDS / 2 + jitter(EXPIRE_SECONDS))
        try:
            await expire(now())
        except Fault as problem:
            _log.warning("reservations not closed", problem=problem.text)
