"""Peers of the orchestrator in memory: small, honest, and able to be away or to die between two calls."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from kernel.events import Cause
from kernel.faults import Conflict, Denied, NotFound, Refused, Unavailable
from services.orchestrator.domain.records import (
    Action,
    Decision,
    Effect,
    EffectState,
    ErrorCounts,
    Handoff,
    Incident,
    Mode,
    Packet,
    PastIncident,
    Tier,
    Verdict,
)
from services.orchestrator.ports.policy import Answer, RunContext, Standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Outage:
    """Counts calls; those whose number is in `at` find nobody."""

    at: set[int] = field(default_factory=set)
    calls: int = 0

    def pass_by(self) -> None:
        self.calls += 1
        if self.calls in self.at:
            raise Unavailable("PEER_UNREACHABLE", f"call {self.calls} finds nobody")


class FakePolicy:
    """Allows what is in `allowed`, holds everything else in an assisted run, denies the rest."""

    def __init__(self, outage: Outage, allowed: frozenset[str] = frozenset({"diagnostics.memory"})) -> None:
        self.outage = outage
        self.allowed = allowed
        self.forbidden: frozenset[str] = frozenset()
        self.revoked: dict[str, str] = {}
        self.suspended: dict[str, str] = {}
        self.known: set[str] = {"sre-1"}
        self.answers: dict[str, Answer] = {}
        self.asked: dict[str, tuple[Action, str, str]] = {}
        self.decided: list[Decision] = []
        self.budget: int | None = None
        """How many actions there are left to set aside; None: nobody has set a budget."""
        self.live: set[str] = set()
        self.settled: dict[str, bool] = {}
        self.permit_seconds = 60
        self.used: dict[str, str] = {}
        """Approvals, and the one decision each was good for."""

    async def standing(self, agent_id: str, cause: Cause) -> Standing:
        self.outage.pass_by()
        if agent_id not in self.known:
            raise NotFound("AGENT_UNKNOWN", f"no agent {agent_id}")
        why = self.revoked.get(agent_id, self.suspended.get(agent_id, ""))
        return Standing(agent_id, agent_id in self.revoked, why, agent_id in self.suspended)

    async def authorize(
        self,
        token: str,
        context: RunContext,
        actions: Sequence[Action],
        approval_ids: Mapping[str, str],
        cause: Cause,
    ) -> tuple[Decision, ...]:
        self.outage.pass_by()
        made = tuple(
            self._drawn(self._decide(context, action, approval_ids.get(action.action_id, ""), cause))
            for action in actions
        )
        self.decided += made
        return made

    def _decide(self, context: RunContext, action: Action, approval_id: str, cause: Cause) -> Decision:
        verdict, reason, permit = Verdict.DENY, "TIER_TOO_LOW", ""
        decision_id = f"d-{cause.request_id}-{action.action_id}"
        if action.name in self.forbidden:
            reason = "FORBIDDEN_BY_PACKET"
        elif action.name in self.allowed:
            verdict, reason = Verdict.ALLOW, "ALLOWED_BY_TIER"
            if context.mode is Mode.ASSISTED and not approval_id:
                verdict, reason = Verdict.NEEDS_APPROVAL, "APPROVAL_REQUIRED"
            elif approval_id and self.answers[approval_id].state != "APPROVED":
                verdict, reason = Verdict.DENY, "APPROVAL_REJECTED"
            elif approval_id and self.used.setdefault(approval_id, decision_id) != decision_id:
                verdict, reason = Verdict.DENY, "APPROVAL_USED"
            if verdict is Verdict.ALLOW and context.mode is not Mode.SAFE:
                permit = f"permit:{action.action_id}:{context.fencing_token}"
        return Decision(
            decision_id=decision_id,
            action_id=action.action_id,
            verdict=verdict,
            rule="tier.T1_OPERATOR",
            reason=reason,
            explanation="because",
            tier=Tier.T1_OPERATOR,
            policy_version="1",
            action_digest=f"sha256:{action.name}",
            permit=permit,
            permit_expire_time=NOW + timedelta(seconds=self.permit_seconds) if permit else None,
        )

    def _drawn(self, decision: Decision) -> Decision:
        """`decision`, with what is set aside for it."""
        if self.budget is None or decision.verdict is not Verdict.ALLOW:
            return decision
        name = f"r-{decision.decision_id}"
        charged = {each for each, spent in self.settled.items() if spent}
        if name not in self.live | charged and len(self.live | charged) >= self.budget:
            return replace(
                decision, verdict=Verdict.DENY, reason="BUDGET_SPENT", permit="", explanation="spent."
            )
        if name not in charged:
            self.settled.pop(name, None)
            self.live.add(name)
        return replace(decision, reservation_id=name)

    async def settle(self, reservation_id: str, spent: bool, cause: Cause) -> None:
        self.outage.pass_by()
        if reservation_id in self.live:
            self.live.remove(reservation_id)
            self.settled[reservation_id] = spent
        elif self.settled.get(reservation_id) is not spent:
            raise Refused("RESERVATION_CLOSED", "closed otherwise")

    async def request_approval(
        self, context: RunContext, action: Action, digest: str, why: str, requested_by: str, cause: Cause
    ) -> str:
        self.outage.pass_by()
        approval_id = f"ap-{action.action_id}"
        self.asked[approval_id] = (action, digest, requested_by)
        self.answers.setdefault(approval_id, Answer(approval_id, "PENDING", NOW + timedelta(hours=1)))
        return approval_id

    async def approval(self, approval_id: str, cause: Cause) -> Answer:
        self.outage.pass_by()
        return self.answers[approval_id]

    def answer(self, state: str) -> None:
        self.answers = {key: replace(each, state=state) for key, each in self.answers.items()}

    async def revoke(self, agent_id: str, kind: str, details: str, cause: Cause) -> None:
        self.outage.pass_by()
        self.revoked.setdefault(agent_id, kind)


class FakeState:
    """Locks by holder, counters, artifacts by hash."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage
        self.tokens = 0
        self.lock: dict[str, tuple[str, int]] = {}
        self.refused = 0
        """How often somebody else had the lock."""
        self.packets: dict[str, Packet] = {}
        self.given: list[Packet] = []
        """Every packet that was issued, oldest first."""
        self.issued: set[str] = set()
        """Requests that are answered again, and do nothing again."""
        self.artifacts: dict[str, bytes] = {}
        self.stored: dict[str, str] = {}
        """By request: the artifact that it stored, whatever it brings when it comes again."""
        self.names: set[str] = set()
        self.errors: list[tuple[str, bool]] = []
        self.errors_under: list[int] = []
        self.seen_errors: set[str] = set()
        self.refused_errors: set[str] = set()
        self.handoffs: list[Handoff] = []
        self.advanced: list[str] = []
        self.beats = 0
        self.waiting: dict[str, str] = {}
        """What the run of each agent waits for."""
        self.said: list[str] = []
        self.under: dict[str, int] = {}
        """The token that each artifact was stored under."""

    def _require(self, agent_id: str, run_id: str, fencing_token: int) -> None:
        if fencing_token and self.lock.get(agent_id) != (run_id, fencing_token):
            raise Denied("FENCING_TOKEN_STALE", "somebody else has it")

    async def issue_packet(self, packet: Packet, cause: Cause) -> int:
        self.outage.pass_by()
        if cause.request_id not in self.issued:
            self.issued.add(cause.request_id)
            self.packets[packet.agent_id] = packet
            self.given.append(packet)
        return 1

    async def packet_of(self, agent_id: str, cause: Cause) -> Packet | None:
        return self.packets.get(agent_id)

    async def packet_for(self, agent_id: str, task_id: str, cause: Cause) -> Packet | None:
        theirs = [each for each in self.given if (each.agent_id, each.task_id) == (agent_id, task_id)]
        return theirs[-1] if theirs else None

    async def acquire_lock(
        self, agent_id: str, task_id: str, holder: str, lease_seconds: int, cause: Cause
    ) -> int:
        self.outage.pass_by()
        held = self.lock.get(agent_id)
        if held is not None and held[0] != holder:
            self.refused += 1
            raise Conflict("CANNOT_ACQUIRE_LOCK", f"{held[0]} holds it", holder=held[0])
        if held is None:
            if self.packets[agent_id].task_id != task_id:
                raise Refused("NO_INSTRUCTION_PACKET", f"agent {agent_id} has no packet for task {task_id}")
            self.tokens += 1
            self.lock[agent_id] = (holder, self.tokens)
            self.waiting.pop(agent_id, None)
        return self.lock[agent_id][1]

    async def advance(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        phase: str,
        fencing_token: int,
        lease_seconds: int,
        cause: Cause,
    ) -> ErrorCounts:
        self.outage.pass_by()
        self._require(agent_id, run_id, fencing_token or -1)
        self.advanced.append(phase)
        return self.counts()

    async def release_lock(
        self, agent_id: str, task_id: str, holder: str, fencing_token: int, cause: Cause
    ) -> None:
        self.outage.pass_by()
        if self.lock.get(agent_id) == (holder, fencing_token):
            del self.lock[agent_id]

    async def waits(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        what: str,
        fencing_token: int,
        cause: Cause,
        until: datetime | None = None,
    ) -> None:
        self.outage.pass_by()
        assert fencing_token, "who waits shows under which lock it worked"
        if self.lock.get(agent_id, (run_id,))[0] != run_id:
            return
        self.said.append(what)
        if what:
            self.waiting[agent_id] = what
        else:
            self.waiting.pop(agent_id, None)

    async def record_error(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        error_type: str,
        message: str,
        violation: bool,
        fencing_token: int,
        cause: Cause,
    ) -> tuple[ErrorCounts, int]:
        self.outage.pass_by()
        if cause.request_id not in self.seen_errors:
            refused = cause.request_id in self.refused_errors
            self.refused_errors.add(cause.request_id)  # unless it is let in: a refusal is on record for good
            self._require(agent_id, run_id, -1 if refused else fencing_token)
            self.refused_errors.remove(cause.request_id)
            self.seen_errors.add(cause.request_id)
            self.errors.append((error_type, violation))
            self.errors_under.append(fencing_token)
        return self.counts(), 1000 + len(self.errors)

    def counts(self) -> ErrorCounts:
        by_type: dict[str, int] = {}
        for kind, _ in self.errors:
            by_type[kind] = by_type.get(kind, 0) + 1
        return ErrorCounts(
            len(self.errors),
            max(by_type.values(), default=0),
            sum(violation for _, violation in self.errors),
            by_type,
        )

    async def heartbeat(self, agent_id: str, cause: Cause) -> None:
        self.beats += 1

    async def put_artifact(
        self,
        content: bytes,
        name: str,
        media_type: str,
        task_id: str,
        run_id: str,
        cause: Cause,
        agent_id: str = "",
        fencing_token: int = 0,
    ) -> str:
        self.outage.pass_by()
        self._require(agent_id, run_id, fencing_token)
        self.under[name] = fencing_token
        if cause.request_id not in self.stored:
            sha256 = self.stored[cause.request_id] = hashlib.sha256(content).hexdigest()
            self.artifacts[sha256] = content
            self.names.add(name)
        return self.stored[cause.request_id]

    async def get_artifact(self, sha256: str, agent_id: str, run_id: str, cause: Cause) -> bytes:
        self.outage.pass_by()
        if agent_id or run_id:
            assert agent_id in self.packets, "state knows of no such agent"
            assert run_id
        if sha256 not in self.artifacts:
            raise NotFound("ARTIFACT_UNKNOWN", f"there is no artifact {sha256}")
        return self.artifacts[sha256]

    async def artifact_names(self, task_id: str, cause: Cause) -> frozenset[str]:
        return frozenset(self.names)

    async def write_handoff(self, handoff: Handoff, cause: Cause) -> None:
        self.outage.pass_by()
        self.handoffs.append(handoff)


class FakeActuators:
    """Does each effect once, and remembers every call."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage
        self.done: dict[str, str] = {}
        self.previews: list[str] = []
        self.fails = False
        self.changes = False
        self.gate: asyncio.Event | None = None
        """When there is one, an effect begins and does not end before it is set."""

    async def reachable(self) -> bool:
        return True

    async def preview(self, actions: Sequence[Action], cause: Cause) -> tuple[Effect, ...]:
        self.outage.pass_by()
        self.previews += [action.name for action in actions]
        return tuple(Effect("", action.action_id, EffectState.PREVIEWED, "would look") for action in actions)

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        self.done.setdefault(effect_id, permit)
        if self.gate is not None:
            await self.gate.wait()
        self.outage.pass_by()
        state = EffectState.FAILED if self.fails else EffectState.SUCCEEDED
        error_type = "ACTUATOR_FAILED" if self.fails else ""
        return Effect(
            effect_id, action.action_id, state, "looked", error_type=error_type, changed=self.changes
        )

    async def outcome(
        self, effect_id: str, action: Action, journal_key: bytes, cause: Cause
    ) -> Effect | None:
        permit = self.done.get(effect_id)
        return await self.perform(effect_id, action, permit, journal_key, cause) if permit else None


class NothingKnown:
    """Knowledge of somebody who begins."""

    async def similar(self, tenant: str, incident: Incident) -> tuple[PastIncident, ...]:
        return ()
