"""What an agent waits for, and how it shows that it is stuck: what a person who looks at it has to know.

Whether it is stuck is judged elsewhere (`stuck`), by signs that are no events; here the judgement becomes a fact, once
for every time that it happens.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.events import require_token
from services.state.domain.bounds import cut, require_agent_id, require_text
from services.state.domain.faults import FieldInvalid
from services.state.domain.stuck import Kind as StuckKind

MAX_WORD_CHARACTERS = 128
"""So long may an action, a result, or the name of what is waited for be."""
MAX_EVIDENCE_CHARACTERS = 400
LONGEST_POLL = timedelta(hours=24)


class WaitingKind(StrEnum):
    APPROVAL = "APPROVAL"
    GATE = "GATE"
    POLL = "POLL"
    """The agent itself said that it looks at something again and again."""
    LOCK = "LOCK"
    MESSAGE = "MESSAGE"


@dataclass(frozen=True, slots=True)
class Waiting:
    kind: WaitingKind
    what: str
    since: datetime
    until: datetime | None = None
    """When it has to have come; after that the agent may be found stuck."""


@dataclass(frozen=True, slots=True)
class Stuck:
    kind: StuckKind
    evidence: str
    since: datetime
    with_agent_ids: tuple[str, ...] = ()


# wants


@dataclass(frozen=True, slots=True)
class ReportWaiting:
    """The agent waits; without `waiting`, it works again."""

    agent_id: str
    task_id: str
    run_id: str
    waiting: Waiting | None
    at: datetime
    fencing_token: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class FindStuck:
    agent_id: str
    fencing_token: int
    """The lock under which it was watched."""
    stuck: Stuck
    at: datetime


@dataclass(frozen=True, slots=True)
class FindUnstuck:
    agent_id: str
    at: datetime


# facts


@dataclass(frozen=True, slots=True)
class AgentWaits:
    agent_id: str
    task_id: str
    run_id: str
    waiting: Waiting | None
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentStuck:
    agent_id: str
    task_id: str
    run_id: str
    stuck: Stuck
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentUnstuck:
    agent_id: str
    task_id: str
    run_id: str
    at: datetime


# decide


def wait(waits: AgentWaits | None, command: ReportWaiting) -> AgentWaits | None:
    """What is waited for, or that nothing is any more; `None` when that is known.

    Raises:
        Invalid: a field is out of bounds, or a poll has no end.
    """
    require_agent_id(command.agent_id)
    for name, value in (("task_id", command.task_id), ("run_id", command.run_id)):
        if value:
            require_token(value, name)
    wanted = command.waiting
    if wanted is None:
        # Another run of the same agent does not end this one's waiting.
        if waits is None or (waits.run_id and command.run_id and waits.run_id != command.run_id):
            return None
        return AgentWaits(command.agent_id, waits.task_id, waits.run_id, None, command.at)
    _require_sound(wanted, command.at)
    known = (
        waits.waiting
        if waits and (waits.task_id, waits.run_id) == (command.task_id, command.run_id)
        else None
    )
    if known is not None and (known.kind, known.what) == (wanted.kind, wanted.what):
        if _covers(known.until, wanted.until, command.at):
            return None
        wanted = replace(wanted, since=known.since)
    return AgentWaits(command.agent_id, command.task_id, command.run_id, wanted, command.at)


def find(
    found: AgentStuck | None, waits: AgentWaits | None, task_id: str, run_id: str, command: FindStuck
) -> AgentStuck | None:
    """That the agent is stuck; `None` when that is known, or it waits by now."""
    if found is not None or (waits is not None and waiting(waits, command.at)):
        return None
    stuck = command.stuck
    evidence = cut(stuck.evidence, MAX_EVIDENCE_CHARACTERS)
    told = Stuck(stuck.kind, evidence, stuck.since, stuck.with_agent_ids)
    return AgentStuck(command.agent_id, task_id, run_id, told, command.at)


def waiting(waits: AgentWaits, at: datetime) -> bool:
    """Whether it still waits as it said `at` this moment."""
    return waits.waiting is not None and (waits.waiting.until is None or at < waits.waiting.until)


def _require_sound(wanted: Waiting, at: datetime) -> None:
    require_text(wanted.what, "waiting.what", MAX_WORD_CHARACTERS)
    if wanted.kind is WaitingKind.POLL and wanted.until is None:
        raise FieldInvalid("waiting.until", "is required of a poll: say when it is over at the latest")
    if wanted.until is not None and not at < wanted.until <= at + LONGEST_POLL:
        raise FieldInvalid("waiting.until", "must lie in the next 24 hours")


def _covers(known: datetime | None, wanted: datetime | None, at: datetime) -> bool:
    """Whether the end that is known will do: one that is put off again and again is told when half of it is over."""
    if known is None or wanted is None:
        return known is wanted
    return (wanted - at) / 2 <= known - at <= wanted - at
