"""What policy is told by the log and keeps in memory: all of it is as far as the follower has delivered."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from kernel.ports import Aggregates
from services.policy.domain.action import Packet
from services.policy.domain.agent import Agent, Command
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.track_record import TrackRecord


class Fallen(NamedTuple):
    """An agent that lost its power with one above it, while no event says that it is revoked itself."""

    tenant: str
    agent_id: str
    fell_with: str


class HeldAgents(Aggregates[Agent, Command], Protocol):
    """Agents: those below one whose revocation is known have `fell_with` set from that moment on."""

    def fallen(self) -> Sequence[Fallen]:
        """Whose own revocation is still to be written: nobody else may know yet that they have lost their power."""
        ...


class RecordedErrors(Protocol):
    """The errors that state has recorded, as the follower delivered them."""

    def count(self, tenant: str, scope: BudgetScope, scope_id: str, since_seconds: int) -> int:
        """How many since that second of 1970; too many rather than too few."""
        ...


class Packets(Protocol):
    """The newest instruction packet of each agent, as the follower delivered it."""

    def current(self, tenant: str, agent_id: str) -> Packet | None: ...


class Labels(Protocol):
    """What has stuck to runs by what they have read, as the follower delivered it."""

    def current(self, tenant: str, agent_id: str, run_id: str | None) -> tuple[str, ...] | None:
        """Those of one run of the agent, or (None) of all its runs together; None when they cannot be read."""
        ...


class Records(Protocol):
    """What agents have shown of themselves, as far as the follower has delivered."""

    def current(self, tenant: str, agent_id: str) -> TrackRecord: ...

    def promotions(self, tenant: str, agent_id: str) -> tuple[str, ...]:
        """The approvals that were requested for promotions of this agent, oldest first."""
        ...
