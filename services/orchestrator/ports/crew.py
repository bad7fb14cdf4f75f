"""The agents that are attached, and what they are given to think about."""

from dataclasses import dataclass
from typing import Protocol

from services.orchestrator.domain.records import Mode, Packet, Proposal, Strategy


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is to think about; `log` is empty when the run has none."""

    run_id: str
    packet: Packet | None
    log: bytes
    strategy: Strategy
    max_reasoning_cycles: int
    target_reasoning_score: float
    mode: Mode


class Crew(Protocol):
    """Agents attached by a stream, and which of them are busy."""

    def reserve(self, tenant: str, agent_id: str, run_id: str) -> bool:
        """Bind an agent to a run; True if it is now (or was already) bound to it."""
        ...

    def reserve_any(self, tenant: str, run_id: str) -> str:
        """Bind a free agent of the built-in crew, the one that rested longest; empty when all are busy."""
        ...

    def release(self, tenant: str, agent_id: str, run_id: str) -> None: ...

    def present(self, tenant: str) -> bool:
        """Whether any agent of the built-in crew that may work is attached, busy or not."""
        ...

    def seated(self, tenant: str, agent_id: str) -> bool:
        """Whether an agent is attached to this process."""
        ...

    def elsewhere(self, tenant: str, agent_id: str) -> bool:
        """Whether an agent (empty: any of the built-in crew) is attached to another replica."""
        ...

    async def freed(self, timeout_seconds: float) -> None:
        """Wait until an agent was freed or attached, or the time is over."""
        ...

    def token(self, tenant: str, agent_id: str) -> str:
        """The agent's newest session token, empty when it is not attached."""
        ...

    async def think(self, tenant: str, agent_id: str, task: Task, timeout_seconds: float) -> Proposal:
        """Raises AGENT_FAILED (Refused) with what the agent said, or Unavailable when it is not attached."""
        ...
