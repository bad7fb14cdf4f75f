"""An allowed action is tried out, or done: its intent in the log before, its outcome after."""

from dataclasses import replace

from kernel.faults import Refused, Unavailable
from services.orchestrator.domain import lifecycle as go
from services.orchestrator.domain import wants
from services.orchestrator.domain.budget import NOT_BY_AGENTS
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.records import Action
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.authorizing import Authorizing
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried
from services.orchestrator.handlers.recording import Recording
from services.orchestrator.ports import Clock
from services.orchestrator.ports.actuators import ActuatorDoor
from services.orchestrator.ports.privacy import Privacy


class Acting:
    def __init__(
        self,
        actuators: ActuatorDoor,
        authorizing: Authorizing,
        booking: Booking,
        privacy: Privacy,
        recording: Recording,
        clock: Clock,
    ) -> None:
        self._actuators = actuators
        self._authorizing = authorizing
        self._booking = booking
        self._privacy = privacy
        self._recording = recording
        self._clock = clock

    async def preflight(self, run: Run, carried: Carried) -> None:
        """Raises ACTUATORS_UNREACHABLE (Unavailable)."""
        if not await self._actuators.reachable():
            raise Unavailable(
                "ACTUATORS_UNREACHABLE", "the actuators do not answer; the run goes on when they do"
            )
        await self._recording.enter(run, carried, Phase.PLAN)

    async def preview(self, run: Run, carried: Carried, actions: tuple[Action, ...]) -> None:
        """Record what each action would do; nothing is touched."""
        effects = await self._actuators.preview(actions, self._recording.cause(carried, "preview"))
        named = tuple(
            replace(effect, effect_id=go.effect_id(run, action.action_id), action_id=action.action_id)
            for effect, action in zip(effects, actions, strict=True)
        )
        await self._recording.conclude(run, carried, wants.ObserveEffects(named, self._clock()), "preview")

    async def perform(self, run: Run, carried: Carried, effect_id: str, action: Action) -> None:
        """Do one action, unless policy allows it no more. Done again after a crash it has one effect: `effect_id`'s.

        One that may have begun is asked first what came of it: whatever policy would say by now, that has happened.

        Raises:
            Refused: its run has lost the agent, or the agent its power; what came of it is recorded.
        """
        journal_key = await self._privacy.journal_key(carried.tenant, run.known.subject_key, effect_id)
        cause = self._recording.cause(carried, "perform", effect_id)
        what, effect = f"effect {effect_id}", None
        if effect_id in run.intents:
            asking = self._actuators.outcome(effect_id, action, journal_key, cause)
            effect = await self._booking.during(run, carried, what, asking)
        if effect is None:
            decision = await self._authorizing.permit(run, carried, action)
            if not decision.permit:
                await self._recording.append(
                    carried, wants.RecordDecisions((decision,), self._clock()), "denied", decision.decision_id
                )
                return
            await self._recording.append(
                carried, wants.IntendEffect(effect_id, action.action_id, self._clock()), "intend", effect_id
            )
            acting = self._actuators.perform(effect_id, action, decision.permit, journal_key, cause)
            effect = await self._booking.during(run, carried, what, acting)
        effect = replace(effect, effect_id=effect_id, action_id=action.action_id)
        await self._recording.append(
            carried, wants.ObserveEffects((effect,), self._clock()), "outcome", effect_id
        )
        if effect.error_type in NOT_BY_AGENTS:
            raise Refused(effect.error_type, effect.error_message or effect.summary)
