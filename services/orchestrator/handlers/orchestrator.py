"""What callers ask: take this log, start this run, how does it stand?"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kernel.events import Cause
from kernel.faults import Invalid, Unavailable
from services.orchestrator.domain.faults import LogTooLarge, RunUnknown
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Mode, Packet, Strategy
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.starting import Starting, run_id_of
from services.orchestrator.ports import Runs

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 500


@dataclass(frozen=True, slots=True)
class Limits:
    max_log_bytes: int = 32 * 1024 * 1024
    max_wait_seconds: float = 240.0
    """How long a caller waits for a run: less than any caller has patience for, or it would never hear the run's id."""


@dataclass(frozen=True, slots=True)
class RunView:
    run: Run
    sequence: int
    answered: frozenset[str] = frozenset()
    """Of the approvals that it waits for, those that people have answered."""


class Orchestrator:
    """The service."""

    def __init__(
        self,
        runs: Runs,
        conductor: Conductor,
        starting: Starting,
        limits: Limits,
        reached: Callable[[int], Awaitable[None]],
        known: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._runs = runs
        self._conductor = conductor
        self._starting = starting
        self._limits = limits
        self._reached = reached
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
            LogEmpty, LogCompressed, LogTooLarge, RequestIdReused; AGENT_UNKNOWN when `agent_id` is given and nobody
            knows it.
            Fault: nothing can be written until people have mended the log (STREAM_REGRESSION), or made room (LOG_FULL,
            ARTIFACTS_FULL); the run goes on then.
        """
        if len(log) > self._limits.max_log_bytes:
            raise LogTooLarge(self._limits.max_log_bytes)
        run_id = run_id_of(cause)
        await self._starting.from_log(
            run_id, log, mode, strategy, include_trace, agent_id, forbidden, subject, cause
        )
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
            RequestIdReused. Invalid: a name is malformed. NotFound: nobody knows the agent (AGENT_UNKNOWN).
        """
        run_id = run_id_of(cause)
        await self._starting.from_packet(run_id, agent_id, task_id, objective, mode, packet, subject, cause)
        return self._view(cause.tenant, run_id)

    async def get_run(
        self, tenant: str, run_id: str, wait_seconds: float, at_least_sequence: int = 0
    ) -> RunView:
        """A run as it stands, by what is in the log up to `at_least_sequence` at least; with `wait_seconds`, once it
        is over or waits for a person.

        Raises:
            RunUnknown: there is none of this id for this tenant.
            Unavailable: this replica has not come as far as `at_least_sequence` (FOLLOWER_BEHIND).
        """
        if at_least_sequence > self._runs.head(tenant, run_id).sequence:
            await self._reached(at_least_sequence)
        if self._known is not None and self._runs.current(tenant, run_id).started is None:
            await self._known()  # another replica may have begun it just now
        self._require(tenant, run_id)
        if wait_seconds > 0:
            await self._conductor.settled(tenant, run_id, min(wait_seconds, self._limits.max_wait_seconds))
        return self._view(tenant, run_id)

    async def list_runs(
        self, tenant: str, state: RunState | None, after: str, page_size: int
    ) -> tuple[list[RunView], str]:
        """A page of runs, newest first, behind the run `after`; and the id to go on from, empty at the end.

        Raises:
            Invalid: `page_size` is negative (FIELD_INVALID); 0 is `DEFAULT_PAGE_SIZE`. There is no run `after`
                (PAGE_TOKEN_INVALID): whoever turns pages would begin again without knowing it.
        """
        if page_size < 0:
            raise Invalid("FIELD_INVALID", "page_size must not be negative", field="page_size")
        size = min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        if after and self._known is not None and self._runs.current(tenant, after).started is None:
            await self._known()  # another replica may have shown it just now
        endings = dict(self._runs.endings(tenant))
        ids = list(endings)[::-1]
        if after and after not in ids:
            text = "page_token is not from this list: begin again"
            raise Invalid("PAGE_TOKEN_INVALID", text, field="page_token")
        start = ids.index(after) + 1 if after else 0
        found: list[RunView] = []
        for run_id in ids[start:]:
            if state is not None and state != (endings[run_id] or self._runs.current(tenant, run_id).state):
                continue
            if len(found) == size:
                return found, found[-1].run.known.run_id
            found.append(self._view(tenant, run_id))
        return found, ""

    def _require(self, tenant: str, run_id: str) -> None:
        if self._runs.current(tenant, run_id).started is None:
            raise RunUnknown(run_id)

    def _view(self, tenant: str, run_id: str) -> RunView:
        return RunView(
            self._runs.current(tenant, run_id),
            self._runs.head(tenant, run_id).sequence,
            self._conductor.answered_of(tenant, run_id),
        )
