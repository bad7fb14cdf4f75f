"""What callers ask: take this log, start this run, how does it stand?"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kernel.events import Cause, derived_id, require_token
from kernel.faults import Invalid, Unavailable
from services.orchestrator.domain import wants
from services.orchestrator.domain.faults import LogEmpty, LogTooLarge, RunUnknown
from services.orchestrator.domain.phases import Phase, RunState
from services.orchestrator.domain.records import Constraints, ErrorBudget, Mode, Packet, Source, Strategy
from services.orchestrator.domain.redaction import redact
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.crew import Crew
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_INLINE_BYTES = 256 * 1024
MAX_SUBJECT_CHARACTERS, MAX_OBJECTIVE_CHARACTERS = 200, 4000


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How built-in agents think: rows A2 and A17."""

    enabled: bool = True
    max_cycles: int = 2
    target_score: float = 0.7


@dataclass(frozen=True, slots=True)
class Limits:
    max_log_bytes: int = 32 * 1024 * 1024
    max_wait_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Read:
    """A log as it may be kept: decoded, without secrets."""

    text: str
    replaced_bytes: int
    redactions: dict[str, int]


@dataclass(frozen=True, slots=True)
class RunView:
    run: Run
    sequence: int


class Orchestrator:
    """The service."""

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
        limits: Limits,
        known: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._runs = runs
        self._conductor = conductor
        self._policy = policy
        self._state = state
        self._crew = crew
        self._privacy = privacy
        self._clock = clock
        self._reasoning = reasoning
        self._limits = limits
        self._known = known

    async def process_log(
        self,
        log: bytes,
        mode: Mode,
        strategy: Strategy,
        include_trace: bool,
        agent_id: str,
        forbidden: tuple[str, ...],
        subject: str,
        cause: Cause,
    ) -> RunView:
        """A whole run over a log: answers when it is over, waits for a person, or takes longer than the limit.

        Raises:
            LogEmpty, LogTooLarge; AGENT_UNKNOWN when `agent_id` is given and nobody knows it.
            Unavailable: nothing can be written until people have mended the log (STREAM_REGRESSION).
        """
        if len(log) > self._limits.max_log_bytes:
            raise LogTooLarge(self._limits.max_log_bytes)
        run_id = run_id_of(cause)
        if self._runs.current(cause.tenant, run_id).started is None:
            await self._begin(run_id, log, mode, strategy, include_trace, agent_id, forbidden, subject, cause)
        self._conductor.carry(cause.tenant, run_id)
        rests = await self._conductor.settled(cause.tenant, run_id, self._limits.max_wait_seconds)
        if not rests and self._conductor.stopping:
            raise Unavailable(
                "SHUTTING_DOWN",
                "this server is stopping; the run goes on, ask again with the same request id",
            )
        refused = None if rests else self._conductor.refused(cause.tenant, run_id)
        if refused is not None:
            raise refused
        return self._view(cause.tenant, run_id)

    async def _begin(
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
        if agent_id:
            await self._policy.standing(require_token(agent_id, "agent_id"), cause)
        read = read_log(log) if len(log) <= _INLINE_BYTES else await asyncio.to_thread(read_log, log)
        if not read.text.strip():
            raise LogEmpty
        content = read.text.encode("utf-8", "surrogatepass")
        key_id = await self._privacy.key_of(cause.tenant, subject_of(subject, run_id))
        task_id = f"log-{run_id[:16]}"
        sha256 = await self._state.put_artifact(
            await self._privacy.seal_bytes(cause.tenant, key_id, content),
            "log.txt",
            "text/plain; charset=utf-8",
            task_id,
            run_id,
            _of_run(cause, run_id, "log"),
        )
        lines = read.text.count("\n") + (not read.text.endswith("\n"))
        source = Source(sha256, len(content), lines, read.replaced_bytes, read.redactions)
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
        command = self._start(
            run_id, task_id, agent_id, mode, strategy, packet, source, include_trace, key_id, cause
        )
        await self._record_start(command, cause)
        self._conductor.carry(cause.tenant, run_id, read.text)

    async def start_run(
        self,
        agent_id: str,
        task_id: str,
        objective: str,
        mode: Mode,
        packet: Packet | None,
        subject: str,
        cause: Cause,
    ) -> RunView:
        """Start a governed run without a log; answers at once.

        Raises:
            Invalid: a name is malformed. NotFound: nobody knows the agent (AGENT_UNKNOWN).
        """
        await self._policy.standing(require_token(agent_id, "agent_id"), cause)
        require_token(task_id, "task_id")
        run_id = run_id_of(cause)
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
        key_id = await self._privacy.key_of(cause.tenant, subject_of(subject, run_id))
        command = self._start(
            run_id, task_id, agent_id, mode, Strategy.REFLECTIVE, packet, None, True, key_id, cause
        )
        await self._record_start(command, cause)
        self._conductor.carry(cause.tenant, run_id)
        return self._view(cause.tenant, run_id)

    async def _record_start(self, command: wants.StartRun, cause: Cause) -> None:
        tenant, run_id = cause.tenant, command.run_id
        try:
            command = await self._privacy.sealed(tenant, command.subject_key, command)
            await self._runs.handle(run_id, command, _of_run(cause, run_id, "start"))
        except BaseException:
            # The caller may have gone, or the answer of the log: whether there is a run shows later. Until it is
            # carried, and takes its agent anew, the agent is free.
            if self._runs.current(tenant, run_id).started is None:
                self._crew.release(tenant, command.agent_id, run_id)
            self._conductor.expect(tenant, run_id)
            raise

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
        subject_key: str,
        cause: Cause,
    ) -> wants.StartRun:
        reflective = self._reasoning.enabled and strategy is Strategy.REFLECTIVE
        return wants.StartRun(
            run_id=run_id,
            task_id=task_id,
            agent_id=agent_id or self._crew.reserve_any(cause.tenant, run_id),
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
            subject_key=subject_key,
        )

    async def get_run(self, tenant: str, run_id: str, wait_seconds: float) -> RunView:
        """A run as it stands; with `wait_seconds`, once it is over or waits for a person.

        Raises:
            RunUnknown: there is none of this id for this tenant.
        """
        if self._known is not None and self._runs.current(tenant, run_id).started is None:
            await self._known()  # another replica may have begun it just now
        self._require(tenant, run_id)
        if wait_seconds > 0:
            await self._conductor.settled(tenant, run_id, min(wait_seconds, self._limits.max_wait_seconds))
        return self._view(tenant, run_id)

    def list_runs(
        self, tenant: str, state: RunState | None, after: str, size: int
    ) -> tuple[list[RunView], str]:
        """Up to `size` runs, newest first, behind the run `after`; and the id to go on from, empty at the end."""
        ids = [run_id for run_id, _ in self._runs.all(tenant)][::-1]
        start = ids.index(after) + 1 if after in ids else 0
        found: list[RunView] = []
        for run_id in ids[start:]:
            view = self._view(tenant, run_id)
            if state is not None and view.run.state is not state:
                continue
            if len(found) == size:
                return found, found[-1].run.known.run_id
            found.append(view)
        return found, ""

    def _require(self, tenant: str, run_id: str) -> None:
        if self._runs.current(tenant, run_id).started is None:
            raise RunUnknown(run_id)

    def _view(self, tenant: str, run_id: str) -> RunView:
        return RunView(self._runs.current(tenant, run_id), self._runs.head(tenant, run_id).sequence)


def run_id_of(cause: Cause) -> str:
    """The id of the run that a request starts: the same request sent again is the same run."""
    return derived_id(cause.tenant, "run", cause.request_id).replace("-", "")


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


def read_log(log: bytes) -> Read:
    """Bytes as text without secrets. Line breaks become `\\n`; what is not UTF-8 becomes U+FFFD and is counted."""
    text = log.decode("utf-8", "replace")
    replaced = text.count(REPLACEMENT) - log.count(REPLACEMENT.encode())
    redacted = redact(text.replace("\r\n", "\n"))
    return Read(redacted.text, replaced, redacted.taken)


def _require_phases(packet: Packet) -> None:
    steps = packet.constraints.required_steps if packet.constraints else ()
    unknown = [step for step in steps if step not in Phase.__members__]
    if unknown:
        raise Invalid(
            "PACKET_INVALID",
            f"required_steps names {unknown[0]!r}, which is no phase; phases are {', '.join(Phase)}",
            field="packet.constraints.required_steps",
        )
