"""Use cases: start a run, carry it on, answer how it stands."""

from services.orchestrator.handlers.conductor import Conductor
from services.orchestrator.handlers.crew import AttachedCrew, Seat
from services.orchestrator.handlers.orchestrator import Orchestrator
from services.orchestrator.handlers.steps import Steps

__all__ = ["AttachedCrew", "Conductor", "Orchestrator", "Seat", "Steps"]
