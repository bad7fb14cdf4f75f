"""The tests that a policy set brings along: an action in its circumstances, and what the set must say to it."""

from dataclasses import dataclass

from services.policy.domain.action import Action, Mode
from services.policy.domain.tier import Tier


@dataclass(frozen=True, slots=True)
class Given:
    """Everything else is in order: the agent is registered and active, its packet is there, no budget is short."""

    action: Action
    tier: Tier
    mode: Mode
    labels: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    required_steps: tuple[str, ...] = ()
    steps_done: tuple[str, ...] = ()
    at_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What is empty may be anything."""

    verdict: str
    reason: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class SetTest:
    name: str
    given: Given
    expected: Expected


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """How one test came out; `path` is where it stands in the document, `text` why it failed."""

    name: str
    path: str
    passed: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class RuleFlaw:
    """Something wrong in a custom rule: `path` leads to its text, line and column are within that, from 1."""

    path: str
    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What is wrong with custom rules; how their own tests come out, if nothing is."""

    flaws: tuple[RuleFlaw, ...] = ()
    tests: tuple[TestOutcome, ...] = ()
