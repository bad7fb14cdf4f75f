"""The use cases, put together: steps, what carries runs through them, and what answers callers."""

from collections.abc import Awaitable, Callable

from services.orchestrator.handlers.carrying import StepLimits
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.handlers.orchestrator import Limits, Orchestrator
from services.orchestrator.handlers.sharing import Sharing
from services.orchestrator.handlers.starting import Reasoning, Starting
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.actuators import ActuatorDoor
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.ports.policy import PolicyDoor
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_STEP_LIMITS, _LIMITS = StepLimits(), Limits()


def orchestration(
    runs: Runs,
    policy: PolicyDoor,
    state: StateDoor,
    actuators: ActuatorDoor,
    crew: AttachedCrew,
    knowledge: Knowledge,
    privacy: Privacy,
    now: Clock,
    new_id: Callable[[], str],
    reasoning: Reasoning,
    reached: Callable[[int], Awaitable[None]],
    sharing: Sharing | None = None,
    known: Callable[[], Awaitable[None]] | None = None,
    step_limits: StepLimits = _STEP_LIMITS,
    limits: Limits = _LIMITS,
) -> tuple[Conductor, Orchestrator]:
    """What carries runs, and what callers ask. `reached` returns when all up to a sequence is known here, `known` when
    everything that is in the log now is."""
    steps = Steps(runs, policy, state, actuators, crew, knowledge, privacy, now, step_limits, new_id)
    conductor = Conductor(runs, steps, policy, state, crew, privacy, now, new_id, sharing)
    starting = Starting(runs, conductor, policy, state, crew, privacy, now, reasoning)
    return conductor, Orchestrator(runs, conductor, starting, limits, reached, known)
