"""Use cases: start a run, carry it on, answer how it stands."""

from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew, Seat
from services.orchestrator.handlers.orchestrator import Limits, Orchestrator, Reasoning
from services.orchestrator.handlers.steps import ACTOR, Steps
from services.orchestrator.handlers.steps import Limits as StepLimits

__all__ = [
    "ACTOR",
    "AttachedCrew",
    "Conductor",
    "Limits",
    "Orchestrator",
    "Reasoning",
    "Seat",
    "StepLimits",
    "Steps",
]
