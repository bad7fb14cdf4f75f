"""How the view lies in the store: key by key, type by type.

The braces in a key are the cluster's hash tag, so that everything of one agent or task lies in one place. Heartbeats
and locks carry a time to live; a lock's real end is the `expire_time` inside it.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from services.state.domain.agent import Agent
from services.state.domain.attention import Stuck, Waiting, WaitingRun
from services.state.domain.board import SECTIONS
from services.state.domain.crew import Crew
from services.state.domain.errors import ErrorCounts
from services.state.domain.plain import from_json, iso, to_json
from services.state.domain.snapshot import waiting_runs
from services.state.domain.tables import TABLES, changed_in, table_of
from services.state.domain.task import Task
from services.state.domain.view import Part, Place, View

TAIL = 32
_TYPE = "type:"

Content: TypeAlias = "str | Mapping[str, str] | frozenset[str] | Listing | Fields | None"
"""A string, a hash, a set, a list, some fields of a hash; `None` when the key must not be there."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The end of a list that only grows: `items` stand behind `offset` earlier ones."""

    offset: int
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """What has changed in a hash; `None` for a field that must not be there. The others are as they were."""

    changed: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Document:
    """One key as it must be once the events up to `sequence` are applied."""

    place: Place
    sequence: int
    content: Content
    expire_time: datetime | None = None

    @property
    def key(self) -> str:
        return key_of(self.place)


@dataclass(frozen=True, slots=True)
class StateDocument:
    """What `agent:…:state` says."""

    agent_id: str
    task_id: str
    run_id: str
    phase: str
    step: str
    sequence: int
    waiting: Waiting | None
    stuck: Stuck | None
    labels: tuple[str, ...]
    """Of everything that its run has read."""
    waiting_runs: tuple[WaitingRun, ...]


@dataclass(frozen=True, slots=True)
class LockDocument:
    """What `agent:…:lock` says."""

    holder: str
    task_id: str
    fencing_token: int
    expire_time: datetime


_KIND = {
    Part.ACTIVE_AGENT: "task",
    Part.AGENTS: "task",
    Part.ARTIFACTS: "task",
    Part.HANDOFF: "handoff",
    Part.REVOCATIONS: "revocations",
    Part.MESSAGES: "msg",
    Part.WAITING: "msg",
    Part.CHECKPOINTS: "checkpoint",
} | dict.fromkeys(map(Part, SECTIONS), "blackboard")


def tag_of(place: Place) -> str:
    """What stands between the braces of its key."""
    return f"{place.tenant}/{place.id}" if place.id else place.tenant


def key_of(place: Place) -> str:
    """As `agent:{default/sre-1}:lock`; the same for every field of a table."""
    return f"{_KIND.get(place.part, 'agent')}:{{{tag_of(place)}}}:{place.part}"


def tenant_of(key: str) -> str:
    """Whose key it is."""
    return key.partition("{")[2].partition("}")[0].partition("/")[0]


def documents(view: View, places: Iterable[Place], *, whole: bool = False) -> list[Document]:
    """What lies at `places` by this view; of lists the last few items, or all of them when `whole`.

    Of tables the fields that are named, or all of them when a place names none or when `whole`; the fields of one
    table are one document.
    """
    tail = None if whole else TAIL
    found: list[Document] = []
    tables: dict[Place, set[str]] = {}
    for place in places:
        if place.part in TABLES:
            tables.setdefault(place._replace(name=""), set()).add("" if whole else place.name)
        else:
            found.append(_document(view, place, tail))
    return found + [_table(view, place, names) for place, names in tables.items()]


def _table(view: View, place: Place, names: Collection[str]) -> Document:
    if "" in names:
        return Document(place, *table_of(view, place))
    sequence, changed = changed_in(view, place, names)
    return Document(place, sequence, Fields(changed))


def _document(view: View, place: Place, tail: int | None) -> Document:
    key = (place.tenant, place.id)
    if place.part is Part.REVOCATIONS:
        known = view.revocations[place.tenant]
        return Document(place, known.sequence, _listing(known.event, tail))
    if place.part in (Part.ARTIFACTS, Part.HANDOFF):
        return _of_task(view.tasks[key], place, tail)
    if place.part in (Part.ACTIVE_AGENT, Part.AGENTS):
        return _of_crew(view.crews[key], place)
    return _of_agent(view.agents[key], place)


def _of_agent(agent: Agent, place: Place) -> Document:
    content: Content = None
    expire_time = None
    match place.part:
        case Part.PACKET:
            content = to_json(agent.packet) if agent.packet else None
        case Part.STATE:
            content = to_json(_state(agent))
        case Part.ERRORS:
            content = _errors_table(agent.errors)
        case Part.LOCK if agent.lock and not agent.lock.released:
            expire_time = agent.lock.expire_time
            lock = agent.lock
            content = to_json(LockDocument(lock.holder, lock.task_id, lock.fencing_token, expire_time))
        case Part.HEARTBEAT if agent.advanced_at and agent.lock:
            expire_time = agent.lock.expire_time
            content = iso(agent.advanced_at)
    return Document(place, agent.sequence, content, expire_time)


def _state(agent: Agent) -> StateDocument:
    return StateDocument(
        agent.agent_id,
        agent.task_id,
        agent.run_id,
        agent.phase,
        agent.step,
        agent.sequence,
        agent.waits.waiting if agent.waits else None,
        agent.found.stuck if agent.found else None,
        agent.labels,
        waiting_runs(agent),
    )


def _of_task(task: Task, place: Place, tail: int | None) -> Document:
    if place.part is Part.ARTIFACTS:
        return Document(place, task.sequence, _listing(task.artifacts, tail))
    return Document(place, task.sequence, to_json(task.handoff) if task.handoff else None)


def _of_crew(crew: Crew, place: Place) -> Document:
    if place.part is Part.AGENTS:
        return Document(place, crew.sequence, crew.agents)
    return Document(place, crew.sequence, to_json(crew.lead) if crew.lead else None)


def _listing(records: Sequence[object], tail: int | None) -> Listing:
    offset = 0 if tail is None else max(0, len(records) - tail)
    return Listing(offset, tuple([to_json(record) for record in records[offset:]]))


def _errors_table(errors: ErrorCounts) -> dict[str, str]:
    counts = {
        "total": errors.total,
        "same_error_repeats": errors.same_error_repeats,
        "procedure_violations": errors.procedure_violations,
    } | {_TYPE + error_type: count for error_type, count in errors.by_type.items()}
    return {name: str(count) for name, count in counts.items()}


def comparable(contents: Mapping[str, Content], at: datetime) -> dict[str, object]:
    """`contents` as plain values, without what time alone takes away: heartbeats, and locks that have run out."""
    plain = {key: _comparable(key, content, at) for key, content in contents.items()}
    return {key: value for key, value in plain.items() if value is not None}


def _comparable(key: str, content: Content, at: datetime) -> object:
    part = key.rpartition(":")[2]
    if not content or (part in (Part.HEARTBEAT, Part.ACTIVITY) and key.startswith("agent:{")):
        return None
    match content:
        case Listing(items=items):
            return list(items) or None
        case frozenset():
            return sorted(content)
        case str() if part == Part.LOCK and _has_run_out(content, at):
            return None
        case _:
            return content


def _has_run_out(lock: str, at: datetime) -> bool:
    """What is no lock has not: it is there, and differs."""
    try:
        return from_json(LockDocument, lock).expire_time <= at
    except (ValueError, LookupError, TypeError):
        return False


def digest(plain: Mapping[str, object]) -> str:
    """`sha256:<hex>` over every key and value, in the order of the keys."""
    return "sha256:" + hashlib.sha256(to_json(plain).encode()).hexdigest()
