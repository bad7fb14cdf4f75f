"""What an agent waits for, and how it shows that it is stuck: what a person who looks at it has to know.

Whether it is stuck is judged elsewhere (`stuck`), by signs that are no events; here the judgement becomes a fact, once
for every time that it happens.
"""

from collections.abc import Mapping
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
RUNS_WAITING = 64
"""So many of an agent's runs are known to wait while others have it, those that were parted from it last."""


class WaitingKind(StrEnum):
    APPROVAL = "APPROVAL"
    GATE = "GATE"
    POLL = "POLL"
    """The agent itself said that it looks at something again and again."""
    LOCK = "LOCK"
    """Like `MESSAGE` from another agent, which may wait in turn: excused until the end that was named, if one was."""
    MESSAGE = "MESSAGE"


@dataclass(frozen=True, slots=True)
class Waiting:
    kind: WaitingKind
    what: str
    since: datetime
    until: datetime | None = None
    """When it has to have come; after that the agent may be found stuck."""


@dataclass(frozen=True, slots=True)
class WaitingRun:
    run_id: str
    task_id: str
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class Stuck:
    kind: StuckKind
    evidence: str
    since: datetime
    with_agent_ids: tuple[str, ...] = ()


# wants


@dataclass(frozen=True, slots=True)
class ReportWaiting:
    """The agent waits; without `waiting`, it works again. `did`: it has also done something."""

    agent_id: str
    task_id: str
    run_id: str
    waiting: Waiting | None
    at: datetime
    fencing_token: int = 0
    by: str = ""
    did: bool = False


@dataclass(frozen=True, slots=True)
class FindStuck:
    agent_id: str
    sequence: int
    """Of the agent as it was judged: one of which something has been heard since has to be judged anew."""
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


def over(parted: Mapping[str, AgentWaits], command: ReportWaiting) -> AgentWaits | None:
    """The end of a wait of a run that has not got the agent any more: that much it may say for itself, token or not."""
    waits = parted.get(command.run_id)
    if waits is None or command.waiting is not None or command.did:
        return None
    return AgentWaits(waits.agent_id, waits.task_id, waits.run_id, None, command.at)


def find(
    found: AgentStuck | None, waits: AgentWaits | None, task_id: str, run_id: str, command: FindStuck
) -> AgentStuck | None:
    """That the agent is stuck; `None` when that is known, or it rightly waits by now."""
    if found is not None or (waits is not None and _excused(waits, command.at)):
        return None
    stuck = command.stuck
    evidence = cut(stuck.evidence, MAX_EVIDENCE_CHARACTERS)
    told = Stuck(stuck.kind, evidence, stuck.since, stuck.with_agent_ids)
    return AgentStuck(command.agent_id, task_id, run_id, told, command.at)


def part(parted: Mapping[str, AgentWaits], waits: AgentWaits | None, run_id: str) -> Mapping[str, AgentWaits]:
    """Who still waits when `run_id` comes to speak for the agent: whoever did so before it, and not `run_id` itself."""
    goes = waits is not None and waits.run_id not in ("", run_id)
    if not goes and run_id not in parted:
        return parted
    still = {each: waiting for each, waiting in parted.items() if each != run_id}
    if goes and waits is not None:
        still.pop(waits.run_id, None)
        still[waits.run_id] = waits
    return dict(list(still.items())[-RUNS_WAITING:])


def excused_until(waiting: Waiting) -> datetime | None:
    """Until when nobody who waits so is stuck; `None`: until it has come.

    What other agents have to bring may never come, since they may wait for this one: without an end that was named, to
    wait for it takes as much of the patience as to do nothing.
    """
    if waiting.until is None and waiting.kind in (WaitingKind.LOCK, WaitingKind.MESSAGE):
        return waiting.since
    return waiting.until


def _excused(waits: AgentWaits, at: datetime) -> bool:
    if waits.waiting is None:
        return False
    until = excused_until(waits.waiting)
    return until is None or at < until


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
