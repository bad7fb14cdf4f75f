"""The use cases, put together: steps, what carries runs through them, and what answers callers."""

from collections.abc import Callable

from services.orchestrator.handlers.carrying import Limits as StepLimits
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.handlers.orchestrator import Limits, Orchestrator, Reasoning
from services.orchestrator.handlers.steps import Steps
from services.orchestrator.ports import ActuatorDoor, Clock, Knowledge, PolicyDoor, Privacy, Runs, StateDoor


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
) -> tuple[Conductor, Orchestrator]:
    """What carries runs, and what callers ask."""
    steps = Steps(runs, policy, state, actuators, crew, knowledge, privacy, now, StepLimits(), new_id)
    conductor = Conductor(runs, steps, policy, state, crew, privacy, now, new_id)
    return conductor, Orchestrator(runs, conductor, policy, state, crew, privacy, now, reasoning, Limits())
