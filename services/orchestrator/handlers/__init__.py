"""Use cases: start a run, carry it on, answer how it stands."""

from services.orchestrator.handlers.assembly import orchestration
from services.orchestrator.handlers.carrying import ACTOR
from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew, Seat
from services.orchestrator.handlers.orchestrator import Orchestrator
from services.orchestrator.handlers.starting import Reasoning

__all__ = [
    "ACTOR",
    "AttachedCrew",
    "Conductor",
    "Orchestrator",
    "Reasoning",
    "Seat",
    "orchestration",
]
