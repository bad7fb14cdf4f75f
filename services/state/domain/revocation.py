"""Revocations, as policy announces them: state keeps them at hand for whoever starts an agent."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AgentRevoked:
    agent_id: str
    kind: str
    details: str
    by: str
    at: datetime
