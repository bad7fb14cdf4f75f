"""What is asked for: an action, in whose name, and under which instructions."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ENVIRONMENTS = ("sandbox", "staging", "production")


class Mode(StrEnum):
    """How far a run may act: not at all, after a person approves, or where policy allows it."""

    SAFE = "SAFE"
    ASSISTED = "ASSISTED"
    AUTO = "AUTO"


@dataclass(slots=True)  # not frozen: see `question`
class Action:
    """One thing an agent wants done. `action_id` is its place in a plan and no part of its digest."""

    action_id: str
    name: str
    target: str
    environment: str
    parameters: Mapping[str, str]


@dataclass(slots=True)  # not frozen: see `question`
class RunContext:
    """In whose name and under what limits an action is asked for; `mode` is None when nobody knows the one given."""

    run_id: str
    task_id: str
    agent_id: str
    mode: Mode | None
    fencing_token: int = 0
    at_least_sequence: int = 0
    subject_key: str = ""
    steps_done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Packet:
    """What an instruction packet lets its agent try: action patterns. An empty `scope` leaves it to the tier.

    `required_steps` are steps of the lifecycle that a run must have been through.
    """

    agent_id: str
    task_id: str
    scope: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    required_steps: tuple[str, ...] = ()
