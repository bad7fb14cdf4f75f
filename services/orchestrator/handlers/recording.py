"""What came of a step, appended to its run: sealed, and in one event with the way into the next phase."""

from dataclasses import replace

from kernel.events import Cause
from services.orchestrator.domain import lifecycle as go
from services.orchestrator.domain import phases, wants
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.privacy import Privacy


class Recording:
    """Writes to the streams of runs, and to nothing else."""

    def __init__(self, runs: Runs, booking: Booking, privacy: Privacy, clock: Clock) -> None:
        self._runs = runs
        self._booking = booking
        self._privacy = privacy
        self._clock = clock

    def cause(self, carried: Carried, *step: str) -> Cause:
        """See `Carried.cause`: now, why this step asks."""
        return carried.cause(self._clock(), *step)

    async def append(self, carried: Carried, command: wants.Command, *step: str) -> None:
        """Append what the command comes to, with what is personal in it sealed; once for each `step` of a run.

        Raises:
            Refused: SUBJECT_ERASED, there is no key any more.
            Unavailable: the log or the keys do not answer; safe to repeat.
        """
        key_id = self._runs.current(carried.tenant, carried.run_id).known.subject_key
        command = await self._privacy.sealed(carried.tenant, key_id, command)
        appended = await self._runs.handle(carried.run_id, command, self.cause(carried, "run", *step))
        if appended.event_ids:
            carried.led_by = appended.event_ids[-1]

    async def enter(self, run: Run, carried: Carried, phase: Phase) -> None:
        """Raises FENCING_TOKEN_STALE (Refused): the lock is somebody else's by now."""
        token = run.fencing_token
        await self._booking.advance(run, carried, phase, token)
        await self.append(carried, wants.EnterPhase(phase, token, self._clock()), phase, str(token))

    async def conclude(self, run: Run, carried: Carried, result: wants.Result, *step: str) -> None:
        """Append what came of a step; if it was the last of its phase, the run is in the next with the same event."""
        phase = go.completes(run, result)
        if phase is not None:
            token = result.fencing_token if isinstance(result, wants.EnterPhase) else run.fencing_token
            await self._booking.advance(run, carried, phase, token)
            result = replace(result, entry=phases.Entry(phase, token))
        await self.append(carried, result, *step)
