"""A run is begun: what it is about made harmless and sealed, its beginning in the log, and then it is carried."""

import asyncio
import hashlib
from dataclasses import dataclass, replace

from kernel.events import Cause, derived_hex, derived_id, require_token
from kernel.faults import Invalid
from services.orchestrator.domain import wants
from services.orchestrator.domain.faults import LogEmpty
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.records import Constraints, ErrorBudget, Mode, Packet, Source, Strategy
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.reading import read_log
from services.orchestrator.handlers.repeating import Repeating
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.crew import Crew
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_INLINE_BYTES = 256 * 1024  # of a log: a thread would cost more than the reading
MAX_SUBJECT_CHARACTERS, MAX_OBJECTIVE_CHARACTERS = 200, 4000


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How long built-in agents think: so many cycles at most, or until their plan has this score, from 0 to 1."""

    enabled: bool = True
    max_cycles: int = 2
    target_score: float = 0.7


class Starting:
    """Begins runs, each once for its request."""

    def __init__(
        self,
        runs: Runs,
        conductor: Conductor,
        policy: PolicyDoor,
        state: StateDoor,
        crew: Crew,
        privacy: Privacy,
        clock: Clock,
        reasoning: Reasoning,
    ) -> None:
        self._runs = runs
        self._conductor = conductor
        self._policy = policy
        self._state = state
        self._crew = crew
        self._privacy = privacy
        self._clock = clock
        self._reasoning = reasoning
        self._repeating = Repeating(runs, privacy, state)

    async def from_log(
        self,
        run_id: str,
        log: bytes,
        mode: Mode,
        strategy: Strategy,
        include_trace: bool,
        agent_id: str,
        forbidden: tuple[str, ...],
        subject: str,
        cause: Cause,
    ) -> None:
        """Begin a run over a log, and carry it; nothing when the same request has begun it before.

        Raises:
            LogEmpty, LogCompressed; RequestIdReused; AGENT_UNKNOWN (NotFound) when `agent_id` is given and nobody
            knows it; Unavailable.
        """
        begun = self._begun(run_id, cause)
        if agent_id and not begun:
            await self._policy.standing(require_token(agent_id, "agent_id"), cause)
        read = read_log(log) if len(log) <= _INLINE_BYTES else await asyncio.to_thread(read_log, log)
        if not read.text.strip():
            raise LogEmpty
        content = read.text.encode("utf-8", "surrogatepass")
        subject = subject_of(subject, run_id)
        task_id = f"log-{run_id[:16]}"
        lines = read.text.count("\n") + (not read.text.endswith("\n"))
        source = Source("", len(content), lines, read.replaced_bytes, read.redactions)
        packet = Packet(
            agent_id=agent_id,
            task_id=task_id,
            created_for=cause.actor,
            objective="find what is wrong in this log and plan a remedy",
            deliverables=("incident", "plan"),
            constraints=Constraints(forbidden=forbidden),
            success_criteria=("every claim cites lines of the log", "every allowed action has an outcome"),
            error_budget=ErrorBudget(),
            escalation_rules=("an action that policy does not allow is left to people",),
            created_at=cause.at,
        )
        command = self._start(run_id, task_id, agent_id, mode, strategy, packet, source, include_trace, cause)
        if begun:
            await self._repeating.require_same(command, subject, content, cause)
            return
        key_id = await self._privacy.key_of(cause.tenant, subject)
        sealed = await self._privacy.seal_bytes(cause.tenant, key_id, content)
        of_log = _of_run(cause, run_id, "log")
        media_type = "text/plain; charset=utf-8"
        sha256 = await self._state.put_artifact(sealed, "log.txt", media_type, task_id, run_id, of_log)
        if sha256 != hashlib.sha256(sealed).hexdigest():  # an earlier try came as far as this
            await self._repeating.require_log(sha256, key_id, content, of_log)
        kept = replace(command, source=replace(source, artifact_sha256=sha256), subject_key=key_id)
        if not await self._record_start(kept, cause):
            await self._repeating.require_same(command, subject, content, cause)
        self._conductor.carry(cause.tenant, run_id, read.text)

    async def from_packet(
        self,
        run_id: str,
        agent_id: str,
        task_id: str,
        objective: str,
        mode: Mode,
        packet: Packet | None,
        subject: str,
        cause: Cause,
    ) -> None:
        """Begin a run without a log, and carry it. Without a packet one is made of `objective`, if there is any.

        Raises:
            RequestIdReused. Invalid: a name is malformed. NotFound: nobody knows the agent (AGENT_UNKNOWN).
        """
        await self._policy.standing(require_token(agent_id, "agent_id"), cause)
        require_token(task_id, "task_id")
        if packet is None and objective.strip():
            packet = Packet(
                agent_id=agent_id,
                task_id=task_id,
                created_for=cause.actor,
                objective=objective.strip(),
                deliverables=("plan",),
                constraints=Constraints(),
                success_criteria=("every allowed action has an outcome",),
                error_budget=ErrorBudget(),
                escalation_rules=(),
                created_at=cause.at,
            )
        if packet is not None:
            _require_phases(packet)
            if len(packet.objective) > MAX_OBJECTIVE_CHARACTERS:  # state sees it sealed
                text = f"objective has at most {MAX_OBJECTIVE_CHARACTERS} characters"
                raise Invalid("PACKET_INVALID", text, field="packet.objective")
        subject, begun = subject_of(subject, run_id), self._begun(run_id, cause)
        command = self._start(run_id, task_id, agent_id, mode, Strategy.REFLECTIVE, packet, None, True, cause)
        if not begun:
            key_id = await self._privacy.key_of(cause.tenant, subject)
            begun = not await self._record_start(replace(command, subject_key=key_id), cause)
        if begun:
            await self._repeating.require_same(command, subject, b"", cause)
        self._conductor.carry(cause.tenant, run_id)

    def _begun(self, run_id: str, cause: Cause) -> bool:
        return self._runs.current(cause.tenant, run_id).started is not None

    async def _record_start(self, command: wants.StartRun, cause: Cause) -> bool:
        """Whether the run has begun by this, and not before."""
        tenant, run_id = cause.tenant, command.run_id
        if not command.agent_id:
            command = replace(command, agent_id=self._crew.reserve_any(tenant, run_id))
        try:
            command = await self._privacy.sealed(tenant, command.subject_key, command)
            appended = await self._runs.handle(run_id, command, _of_run(cause, run_id, "start"))
        except BaseException:
            # The caller may have gone, or the answer of the log: whether there is a run shows later. Until it is
            # carried, and takes its agent anew, the agent is free.
            if self._runs.current(tenant, run_id).started is None:
                self._crew.release(tenant, command.agent_id, run_id)
            self._conductor.expect(tenant, run_id)
            raise
        self._conductor.noted(tenant, run_id)  # it may have begun before, with another agent, and be over
        return bool(appended.event_ids) and not appended.duplicate

    def _start(
        self,
        run_id: str,
        task_id: str,
        agent_id: str,
        mode: Mode,
        strategy: Strategy,
        packet: Packet | None,
        source: Source | None,
        include_trace: bool,
        cause: Cause,
    ) -> wants.StartRun:
        """As it is asked for: nothing sealed, and without an agent where anybody may do it."""
        reflective = self._reasoning.enabled and strategy is Strategy.REFLECTIVE
        return wants.StartRun(
            run_id=run_id,
            task_id=task_id,
            agent_id=agent_id,
            mode=mode,
            strategy=Strategy.REFLECTIVE if reflective else Strategy.CLASSIC,
            objective=packet.objective if packet else "",
            source=source,
            packet=packet,
            requested_by=cause.actor,
            include_trace=include_trace,
            max_reasoning_cycles=self._reasoning.max_cycles if reflective else 1,
            target_reasoning_score=self._reasoning.target_score,
            at=self._clock(),
        )


def run_id_of(cause: Cause) -> str:
    """The id of the run that a request starts: the same request sent again is the same run, for the same caller."""
    return derived_hex(cause.tenant, "run", cause.actor, cause.request_id)


def subject_of(given: str, run_id: str) -> str:
    """Whose data a run is about: whom the caller names, else nobody but the run.

    Raises:
        Invalid: the name is too long, or holds what cannot be seen.
    """
    if len(given) > MAX_SUBJECT_CHARACTERS or not given.isprintable() or given != given.strip():
        text = (
            f"subject must be 1 to {MAX_SUBJECT_CHARACTERS} printable characters, without spaces around them"
        )
        raise Invalid("FIELD_INVALID", text, field="subject")
    return given or f"run:{run_id}"


def _of_run(cause: Cause, run_id: str, step: str) -> Cause:
    return Cause(
        tenant=cause.tenant,
        request_id=derived_id(run_id, step),
        actor=cause.actor,
        at=cause.at,
        correlation_id=run_id,
        traceparent=cause.traceparent,
    )


def _require_phases(packet: Packet) -> None:
    steps = packet.constraints.required_steps if packet.constraints else ()
    unknown = [step for step in steps if step not in Phase.__members__]
    if unknown:
        raise Invalid(
            "PACKET_INVALID",
            f"required_steps names {unknown[0]!r}, which is no phase; phases are {', '.join(Phase)}",
            field="packet.constraints.required_steps",
        )
