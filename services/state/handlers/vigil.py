"""Who gets nowhere: agents that hold their lock are watched, by what the log tells and by what they report.

Reports are kept in memory alone, some of the latest of each agent. Moments are when this process heard of a thing, by a
clock that only grows: nobody is found stuck because a wall clock was set, and after a start everybody has all of the
patience there is. What a process has heard it also leaves in the store, where the others look before they find anybody
stuck.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kernel.events import Cause, derived_id
from kernel.faults import Fault, Unavailable
from services.state.domain.agent import Agent
from services.state.domain.attention import (
    AgentStuck,
    AgentWaits,
    FindStuck,
    FindUnstuck,
    Stuck,
    excused_until,
)
from services.state.domain.board import EntryPut
from services.state.domain.checkpoints import CheckpointSaved
from services.state.domain.errors import ErrorRecorded
from services.state.domain.inbox import MessageSent
from services.state.domain.lock import AgentAdvanced, LockAcquired, LockForced, LockReleased
from services.state.domain.packet import PacketIssued
from services.state.domain.revocation import AgentRevoked
from services.state.domain.signs import Beat, Did, Left, Moved, Said, Sign, Waits, Works
from services.state.domain.stuck import Watch
from services.state.domain.task import ArtifactStored
from services.state.domain.view import Part, Place
from services.state.handlers.kept import Kept
from services.state.ports import Clock, Mirror

ACTOR = "service:state"


@dataclass(slots=True)
class _Tenant:
    watch: Watch
    stands: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Run, phase and step of each agent that is watched: who renews its lease where it stands does not move."""
    runs: dict[str, str] = field(default_factory=dict)
    """Whose lock a run holds."""
    held_by: dict[str, str] = field(default_factory=dict)
    """And the other way round."""
    waits: dict[str, str] = field(default_factory=dict)
    """Which run said that the agent waits."""

    def begin(self, agent_id: str, holder: str, at: float) -> None:
        self.leave(agent_id, at)
        self.watch.take(Works(at, agent_id))
        self.runs[holder], self.held_by[agent_id] = agent_id, holder

    def leave(self, agent_id: str, at: float) -> None:
        self.watch.take(Left(at, agent_id))
        self.stands.pop(agent_id, None)
        self.waits.pop(agent_id, None)
        self.runs.pop(self.held_by.pop(agent_id, ""), None)

    def heard(self, agent_id: str, run_id: str) -> bool:
        """Whether what the run did speaks for the agent: not when another holds its lock."""
        return run_id in ("", self.held_by.get(agent_id, run_id))


class Vigil:
    """Begins when everything up to now has been followed."""

    def __init__(
        self, kept: Kept, mirror: Mirror, clock: Clock, patience_seconds: Callable[[str], float]
    ) -> None:
        """`patience_seconds` says how much a tenant has, and may say otherwise when it is asked again."""
        self._agents = kept.agents
        self._mirror = mirror
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._tenants: dict[str, _Tenant] = {}
        self._begun = False

    def patience(self, tenant: str) -> timedelta:
        """How long an agent of the tenant may get nowhere."""
        return timedelta(seconds=self._patience_seconds(tenant))

    @property
    def shortest_patience_seconds(self) -> float | None:
        """Of those tenants whose agents are watched; `None` when nobody is."""
        return min((self._patience_seconds(tenant) for tenant in self._tenants), default=None)

    def begin(self) -> None:
        """Watch everybody who is at work, from this moment on."""
        self._begun = True
        for tenant in self._agents.tenants():
            self._begin(tenant)

    def heard_nothing(self, seconds: float) -> None:
        """This process stood still for so long: where that is much of their patience, agents have all of it again."""
        for tenant in list(self._tenants):
            if seconds > self._patience_seconds(tenant) / 4:
                self._begin(tenant)

    def _begin(self, tenant: str) -> None:
        at = self._clock.monotonic()
        for agent_id, agent in self._agents.all(tenant):
            lock = agent.lock
            if lock is None or not agent.watched:
                continue
            known = self._of(tenant)
            known.begin(agent_id, lock.holder, at)
            known.stands[agent_id] = (agent.run_id, agent.phase, agent.step)
            known.watch.take(Moved(at, agent_id, _place(known.stands[agent_id])))
            if agent.waits is not None:
                known.waits[agent_id] = agent.waits.run_id
                known.watch.take(self._waits(agent.waits, at))
            if agent.found is not None:
                known.watch.settle(agent_id, at)

    def watches(self, tenant: str, agent_id: str) -> bool:
        known = self._tenants.get(tenant)
        return known is not None and agent_id in known.watch

    def told(self, tenant: str, event: object) -> None:
        """Something has happened; what says nothing of anybody's work is passed over."""
        if not self._begun:
            return
        at = self._clock.monotonic()
        match event:
            case LockAcquired(agent_id=agent_id, holder=holder):
                self._of(tenant).begin(agent_id, holder, at)
            case (
                LockReleased(agent_id=agent_id)
                | LockForced(agent_id=agent_id)
                | AgentRevoked(agent_id=agent_id)
            ):
                if self.watches(tenant, agent_id):
                    self._tenants[tenant].leave(agent_id, at)
            case AgentStuck(agent_id=agent_id):
                if self.watches(tenant, agent_id):
                    self._tenants[tenant].watch.settle(agent_id, at)
            case _:
                known = self._of(tenant)
                for sign in self._signs(known, event, at):
                    if sign.agent_id in known.watch:
                        known.watch.take(sign)

    def beat(self, tenant: str, agent_id: str) -> None:
        """Its process is there."""
        if self.watches(tenant, agent_id):
            self._tenants[tenant].watch.take(Beat(self._clock.monotonic(), agent_id))

    def did(self, tenant: str, agent_id: str, action: str, result: str) -> bool:
        """It has done something; whether that was new."""
        if not self.watches(tenant, agent_id):
            return False
        watch, at = self._tenants[tenant].watch, self._clock.monotonic()
        before = watch.progressed(agent_id)
        watch.take(Did(at, agent_id, action, result))
        return watch.progressed(agent_id) > before

    async def judge(self) -> None:
        """Let the log say who is stuck and who is not any more; once for every time, whoever judges.

        Raises:
            Fault: not of everybody could it be said; the others are done.
        """
        trouble: Fault | None = None
        for tenant, agent_id, agent, stuck in list(self._changed()):
            try:
                await self._say(tenant, agent_id, agent, stuck)
            except Fault as problem:
                trouble = problem
        if trouble is not None:
            raise trouble

    async def _say(self, tenant: str, agent_id: str, agent: Agent, stuck: Stuck | None) -> None:
        now = self._clock.now()
        command: FindStuck | FindUnstuck = FindUnstuck(agent_id, now)
        if stuck is not None:
            if await self._heard_elsewhere(tenant, agent_id):
                return
            agent = self._agents.current(tenant, agent_id)  # all that is known of it was judged just now
            command = FindStuck(agent_id, agent.sequence, stuck, now)
        # The same for every process that comes to this judgement of this agent as it now is.
        request_id = derived_id("vigil", type(command).__name__, agent_id, str(agent.sequence))
        cause = Cause(tenant, request_id, ACTOR, now, agent.lock.holder if agent.lock else agent.run_id)
        await self._agents.handle(agent_id, command, cause)

    def _changed(self) -> Iterator[tuple[str, str, Agent, Stuck | None]]:
        """Those of whom the log says otherwise than the watch."""
        at, now = self._clock.monotonic(), self._clock.now()
        for tenant, known in self._tenants.items():
            known.watch.patience_seconds = self._patience_seconds(tenant)
            for agent_id in known.watch.agents():
                judged = known.watch.judge(agent_id, at)
                try:
                    agent = self._agents.current(tenant, agent_id)
                except Unavailable:
                    continue  # closed: nothing more can be said of it
                if (judged is None) is (agent.found is None):
                    continue
                stuck = None
                if judged is not None:
                    since = now - timedelta(seconds=at - judged.since)
                    stuck = Stuck(judged.kind, judged.evidence, since, judged.with_agent_ids)
                yield tenant, agent_id, agent, stuck

    async def _heard_elsewhere(self, tenant: str, agent_id: str) -> bool:
        """Whether another process has heard of the agent what speaks for it; it is then taken for heard here."""
        places = (Place(tenant, agent_id, Part.HEARTBEAT), Place(tenant, agent_id, Part.ACTIVITY))
        beat, activity = await self._mirror.read(places)
        watch, at, now = self._of(tenant).watch, self._clock.monotonic(), self._clock.now()
        patience = self.patience(tenant)
        for text, did in ((beat, False), (activity, True)):
            if text is None:
                continue
            # By the clock of whoever heard it, which may be ahead of this one: it was heard all the same.
            age = max(timedelta(), now - datetime.fromisoformat(text))
            if age < patience:
                then = at - age.total_seconds()
                watch.take(Did(then, agent_id, "elsewhere", text) if did else Beat(then, agent_id))
        return watch.judge(agent_id, at) is None

    def _signs(self, known: _Tenant, event: object, at: float) -> Sequence[Sign]:
        match event:
            case AgentAdvanced(agent_id=agent_id, run_id=run_id, phase=phase, step=step):
                stands = (run_id, phase, step)
                if known.stands.get(agent_id) == stands:
                    return (Beat(at, agent_id),)
                if agent_id in known.watch:
                    known.stands[agent_id] = stands
                return Works(at, agent_id), Moved(at, agent_id, _place(stands))
            case AgentWaits(agent_id=agent_id, run_id=run_id):
                if event.waiting is not None:
                    known.waits[agent_id] = run_id
                elif known.waits.get(agent_id) != run_id:
                    return ()  # it ends for a run that has not got the agent any more
                return (self._waits(event, at),)
            case _:
                sign = self._sign(known, event, at)
                return () if sign is None else (sign,)

    def _sign(self, known: _Tenant, event: object, at: float) -> Sign | None:
        match event:
            case PacketIssued(packet=packet):
                return Moved(at, packet.agent_id)
            case ErrorRecorded(agent_id=agent_id, run_id=run_id, error_type=error_type) if known.heard(
                agent_id, run_id
            ):
                return Did(at, agent_id, "error", error_type)
            case EntryPut(entry=entry):
                return Did(at, entry.author, f"{entry.section}/{entry.key}", _short(entry.value))
            case MessageSent(message=message):
                content = _short(f"{message.type} {message.body}")
                return Said(at, message.from_agent_id, message.to_agent_id, content)
            case ArtifactStored(artifact=artifact) if artifact.run_id in known.runs:
                return Did(at, known.runs[artifact.run_id], artifact.name, artifact.sha256)
            case CheckpointSaved(checkpoint=saved) if known.heard(saved.agent_id, saved.run_id):
                stands = f"{saved.phase}/{saved.step}/{saved.note}"
                return Did(at, saved.agent_id, "checkpoint", _short(stands + saved.artifact_sha256))
            case _:
                return None

    def _waits(self, event: AgentWaits, at: float) -> Sign:
        if event.waiting is None:
            return Works(at, event.agent_id)
        until = excused_until(event.waiting)
        left = (until - self._clock.now()).total_seconds() if until else None
        what = f"{event.waiting.kind} {event.waiting.what}"
        return Waits(at, event.agent_id, None if left is None else at + left, what)

    def _of(self, tenant: str) -> _Tenant:
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant(Watch(self._patience_seconds(tenant)))
        return known


def _place(stands: tuple[str, str, str]) -> str:
    return "/".join(stands)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
