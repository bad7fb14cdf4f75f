"""What is asked of a decision, what it rests on, and what is answered.

Some are made for each decision, tens of thousands of times a second: see `domain.question` on `frozen`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from services.policy.domain.action import Action, Packet, RunContext
from services.policy.domain.agent import Agent
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import DecisionRecord, Judgement
from services.policy.domain.policyset import PolicySet


@dataclass(slots=True)
class Ask:
    """Actions of one run, in order; by action id, where a person has answered, and what each may cost."""

    context: RunContext
    actions: tuple[Action, ...]
    approval_ids: Mapping[str, str]
    costs: Mapping[str, Amounts] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(slots=True)
class Facts:
    """What a decision rests on besides what is asked. `labels` is None when those of the run cannot be read."""

    agent: Agent
    packet: Packet | None
    policy: PolicySet | None
    labels: tuple[str, ...] | None = ()
    steps_done: tuple[str, ...] = ()

    def same(self, other: "Facts") -> bool:
        """Whether nothing has changed since; what changes is another object."""
        return (
            self.agent is other.agent
            and self.packet is other.packet
            and self.policy is other.policy
            and self.labels == other.labels
            and self.steps_done == other.steps_done
        )


@dataclass(slots=True)
class Decision:
    """One action's record and judgement; a permit where the actuators may act, a reservation where budgets count."""

    record: DecisionRecord
    judgement: Judgement
    permit: str = ""
    permit_expire_time: datetime | None = None
    reservation_id: str = ""


@dataclass(slots=True)
class Answer:
    """Decisions in the order of the actions, and the sequence of the event they are in."""

    decisions: tuple[Decision, ...]
    sequence: int
