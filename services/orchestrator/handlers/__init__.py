"""Use cases: start a run, carry it on, answer how it stands."""

from services.orchestrator.handlers.assembly import orchestration
from services.orchestrator.handlers.carrying import ACTOR
from services.orchestrator.handlers.carrying import Limits as StepLimits
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew, Seat
from services.orchestrator.handlers.orchestrator import Limits, Orchestrator, Reasoning
from services.orchestrator.handlers.steps import Steps

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
    "orchestration",
]
