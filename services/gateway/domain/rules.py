"""Policy sets and what they would decide, as REST shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SetShown:
    """`document` is YAML, as it was published; sequence 0 is the built-in set."""

    version: str
    document: str
    sequence: int


@dataclass(frozen=True, slots=True)
class SetListed:
    """One time that a set came into force."""

    version: str
    by: str
    at: datetime | None
    sequence: int
    in_force: bool
    rolled_back_to: bool
    why: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SetProblem:
    """Line and column count from 1; 0 is nowhere in particular."""

    line: int
    column: int
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class SetInForce:
    """`warnings`: what may surprise in a set that was published."""

    version: str
    sequence: int
    warnings: tuple[SetProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class SetTest:
    name: str
    passed: bool
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class SetValidated:
    """`ok`: it could go live, without problems and with every test passed."""

    ok: bool
    version: str
    problems: tuple[SetProblem, ...]
    warnings: tuple[SetProblem, ...]
    tests: tuple[SetTest, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """`wider`: it allows what was refused, or asks for less."""

    kind: str
    tier: str
    environment: str
    action: str
    before: str
    after: str
    wider: bool


@dataclass(frozen=True, slots=True)
class SetsCompared:
    old_version: str
    new_version: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    request_id: str
    document: str
    replaces: str
    why: str


@dataclass(frozen=True, slots=True)
class RollBack:
    request_id: str
    version: str
    replaces: str
    why: str


@dataclass(frozen=True, slots=True)
class AskWhy:
    """What would be decided on an action; empty task, tier and version: those that are."""

    agent_id: str
    task_id: str
    run_id: str
    mode: str
    action: str
    target: str
    environment: str
    parameters: Mapping[str, str]
    steps_done: tuple[str, ...]
    tier: str
    version: str


@dataclass(frozen=True, slots=True)
class Looked:
    rule: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Needed:
    """One thing that would have to be otherwise for a yes, and who can change it."""

    what: str
    to: str
    by: str


@dataclass(frozen=True, slots=True)
class Explained:
    """`checks` are in the order of decision; what stands behind a refusal was not looked at."""

    decision: str
    rule: str
    reason: str
    explanation: str
    tier: str
    policy_version: str
    obligations: tuple[str, ...]
    changes: tuple[Needed, ...]
    checks: tuple[Looked, ...]


@dataclass(frozen=True, slots=True)
class Simulate:
    """A document or a version, one of both; half open times."""

    document: str
    version: str
    from_time: datetime | None
    to_time: datetime | None
    agent_id: str
    max_flips: int


@dataclass(frozen=True, slots=True)
class Flip:
    """A recorded decision that comes out otherwise."""

    decision_id: str
    agent_id: str
    run_id: str
    action: str
    target: str
    environment: str
    parameters: Mapping[str, str]
    at: datetime | None
    before: str
    before_reason: str
    after: str
    after_reason: str
    after_rule: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Totals:
    decisions: int
    flips: int
    by_change: Mapping[str, int]
    by_agent: Mapping[str, int]
    by_action: Mapping[str, int]
    left_out: Mapping[str, int]
    position: int
    seconds: float
    decided: int = 0


@dataclass(frozen=True, slots=True)
class Simulated:
    """`flips` are those since the last; the last is `done`."""

    flips: tuple[Flip, ...]
    totals: Totals
    done: bool
