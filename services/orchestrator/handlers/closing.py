"""A run that ends well: what came of it checked, its report kept, its agent let go."""

from services.orchestrator.domain import phases, wants
from services.orchestrator.domain.budget import breach
from services.orchestrator.domain.outcome import (
    checks_of,
    compliant,
    outcome_of,
    report_of,
    required_artifacts,
)
from services.orchestrator.domain.phases import Phase, RunState
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.settling import settlements
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried, RequiredArtifactMissing
from services.orchestrator.handlers.recording import Recording
from services.orchestrator.handlers.settling import Settling
from services.orchestrator.ports import Clock
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor


class Closing:
    """The last steps of a run: verify, package, exit."""

    def __init__(
        self,
        state: StateDoor,
        booking: Booking,
        settling: Settling,
        privacy: Privacy,
        recording: Recording,
        clock: Clock,
    ) -> None:
        self._state = state
        self._booking = booking
        self._settling = settling
        self._privacy = privacy
        self._recording = recording
        self._clock = clock

    async def verify(self, run: Run, carried: Carried) -> None:
        """Raises RequiredArtifactMissing: its packet demands one that state does not have."""
        await self._settling.settle(carried, settlements(run))
        wanted = required_artifacts(run)
        names: frozenset[str] = frozenset()
        if wanted:
            names = await self._state.artifact_names(
                run.known.task_id, self._recording.cause(carried, "artifacts")
            )
            missing = [name for name in wanted if name not in names]
            if missing:
                raise RequiredArtifactMissing(", ".join(missing))
        result = wants.RecordVerification(checks_of(run, names), self._clock())
        await self._recording.conclude(run, carried, result, "verify")

    async def package(self, run: Run, carried: Carried) -> None:
        """Keep the report, sealed, as an artifact of the task."""
        key_id = run.known.subject_key
        sha256 = await self._state.put_artifact(
            await self._privacy.seal_bytes(carried.tenant, key_id, report_of(run)),
            "report.json",
            "application/json",
            run.known.task_id,
            carried.run_id,
            self._recording.cause(carried, "report", str(run.fencing_token)),
            run.agent_id,
            run.fencing_token,
        )
        await self._recording.conclude(run, carried, wants.RecordPackage(sha256, self._clock()), "package")

    async def exit(self, run: Run, carried: Carried) -> None:
        """Let the agent go and end the run, unless its last transition has spent the error budget."""
        entry: phases.Entry | None = None
        if run.phase is not Phase.EXIT:
            await self._booking.advance(run, carried, Phase.EXIT, run.fencing_token)
            if breach(carried.counts, run.budget) is not None:
                return  # the conductor looks at the budget next, and the run does not end well
            entry = phases.Entry(Phase.EXIT, run.fencing_token)
        await self._booking.let_go(run, carried)
        outcome, well = outcome_of(run), compliant(run)
        done = wants.EndRun(RunState.COMPLETED, "COMPLETED", outcome, well, self._clock(), entry)
        await self._recording.append(carried, done, "end")
