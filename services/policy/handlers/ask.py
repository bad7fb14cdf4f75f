"""What is asked of a decision, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.policy.domain.action import Action, RunContext
from services.policy.domain.decision import DecisionRecord, Judgement


@dataclass(frozen=True, slots=True)
class Ask:
    """Actions of one run, in order; `approval_ids` by action id, where a person has answered."""

    context: RunContext
    actions: tuple[Action, ...]
    approval_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """One action's record and judgement; the permit is empty unless the actuators may act."""

    record: DecisionRecord
    judgement: Judgement
    permit: str = ""
    permit_expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Decisions in the order of the actions, and the sequence of the event they are in."""

    decisions: tuple[Decision, ...]
    sequence: int
