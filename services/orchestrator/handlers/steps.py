"""How each step of a run is taken: ask the doors, then append what came of it.

Every request id follows from the run and the step, so that a step taken again after a crash has one effect. What goes
wrong is raised; the conductor decides what it means.
"""

from collections.abc import Callable

from kernel.faults import Refused
from services.orchestrator.domain import lifecycle as go
from services.orchestrator.domain import wants
from services.orchestrator.domain.budget import Trouble
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.settling import settlements
from services.orchestrator.handlers.acting import Acting
from services.orchestrator.handlers.authorizing import Authorizing
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried, StepLimits
from services.orchestrator.handlers.closing import Closing
from services.orchestrator.handlers.recording import Recording
from services.orchestrator.handlers.settling import Settling
from services.orchestrator.handlers.thinking import Thinking
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.actuators import ActuatorDoor
from services.orchestrator.ports.crew import Crew
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor


class Steps:
    """The steps of a run; each is found in `take`."""

    def __init__(
        self,
        runs: Runs,
        policy: PolicyDoor,
        state: StateDoor,
        actuators: ActuatorDoor,
        crew: Crew,
        knowledge: Knowledge,
        privacy: Privacy,
        clock: Clock,
        limits: StepLimits,
        new_id: Callable[[], str],
    ) -> None:
        self._policy = policy
        self._state = state
        self._privacy = privacy
        self._clock = clock
        self._settling = Settling(policy, clock)
        self._booking = Booking(state, crew, privacy, clock, limits, new_id)
        self._recording = Recording(runs, self._booking, privacy, clock)
        self._thinking = Thinking(crew, state, knowledge, privacy, self._recording, clock, limits)
        self._authorizing = Authorizing(
            policy, crew, self._booking, self._settling, self._recording, clock, limits
        )
        self._acting = Acting(actuators, self._authorizing, self._booking, privacy, self._recording, clock)
        self._closing = Closing(state, self._booking, self._settling, privacy, self._recording, clock)
        self.cause, self.append = self._recording.cause, self._recording.append

    async def take(self, step: go.Step, run: Run, carried: Carried) -> None:
        """Take one step."""
        match step:
            case go.FindAgent():
                agent_id = await self._booking.find(carried)
                await self._recording.append(carried, wants.AssignAgent(agent_id, self._clock()), "assign")
            case go.Bootstrap():
                await self._bootstrap(run, carried)
            case go.Preflight():
                await self._acting.preflight(run, carried)
            case go.Enter(phase):
                await self._recording.enter(run, carried, phase)
            case go.AskAgent():
                await self._thinking.ask(run, carried)
            case go.Authorize(actions, approval_ids):
                await self._authorizing.authorize(run, carried, actions, dict(approval_ids))
            case go.RequestApprovals(actions):
                await self._authorizing.request_approvals(run, carried, actions)
            case go.AwaitAnswers(approval_ids):
                await self._authorizing.await_answers(run, carried, approval_ids)
            case go.Preview(actions):
                await self._acting.preview(run, carried, actions)
            case go.Perform(effect_id, action):
                await self._acting.perform(run, carried, effect_id, action)
            case go.Verify():
                await self._closing.verify(run, carried)
            case go.Package():
                await self._closing.package(run, carried)
            case go.Exit():
                await self._closing.exit(run, carried)

    def require_here(self, tenant: str, agent_id: str) -> None:
        """Raises SeatedElsewhere."""
        self._booking.require_here(tenant, agent_id)

    async def _bootstrap(self, run: Run, carried: Carried) -> None:
        standing = await self._policy.standing(run.agent_id, self._recording.cause(carried, "standing"))
        if standing.revoked:
            raise Refused("AGENT_PREVIOUSLY_REVOKED", f"agent {run.agent_id} was revoked: {standing.why}")
        if standing.suspended:
            why = f" ({standing.why})" if standing.why else ""
            text = f"agent {run.agent_id} is suspended{why}: resume it, or name another agent"
            raise Refused("AGENT_SUSPENDED", text)
        token = await self._booking.take(run, carried)
        done = wants.EnterPhase(Phase.BOOTSTRAP, token, self._clock())
        await self._recording.conclude(run, carried, done, Phase.BOOTSTRAP, str(token))

    async def regain(self, run: Run, carried: Carried) -> None:
        """The lock was lost while nobody carried the run: take the agent again and go on in the same phase."""
        carried.permits = {}  # they were given under the lock that is lost
        token = await self._booking.take(run, carried)
        if run.phase is not None:
            await self._recording.append(
                carried, wants.EnterPhase(run.phase, token, self._clock()), run.phase, str(token)
            )

    async def settle(self, run: Run, carried: Carried) -> None:
        """Tell the budgets what came of what was set aside for the run."""
        await self._settling.settle(carried, settlements(run))

    async def count(self, run: Run, carried: Carried, trouble: Trouble, token: int, tried: str) -> None:
        """Count an error against the agent's budget, before anything else is done; once for each `tried`.

        Raises:
            FENCING_TOKEN_STALE (Refused): another run has the agent by now; with no token, 0, it counts all the same.
        """
        carried.counts, sequence = await self._state.record_error(
            run.agent_id,
            run.known.task_id,
            carried.run_id,
            trouble.error_type,
            await self._privacy.seal_text(carried.tenant, run.known.subject_key, trouble.message[:1000]),
            trouble.violation,
            token,
            self._recording.cause(carried, "error", trouble.key, tried),
        )
        # What policy allowed before it knew of this is asked again, of a policy that knows: budgets may limit errors.
        carried.known_sequence = max(carried.known_sequence, sequence)
        carried.permits = {}
