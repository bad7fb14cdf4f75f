"""What a watch shows: who is told of which change, what there is to begin with, and cursors.

A change is shown whole, as the thing is after it, so that whoever is slow is told of the last one alone and has missed
nothing. A cursor belongs to one tenant and one filter.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, TypeAlias, get_args

from kernel.events import require_token
from services.state.domain import agent as agents
from services.state.domain.agent import Agent
from services.state.domain.board import Board, Entry, EntryPut
from services.state.domain.bounds import require_agent_id
from services.state.domain.checkpoints import Checkpoint, Checkpoints, CheckpointSaved
from services.state.domain.faults import CursorInvalid
from services.state.domain.inbox import Inbox, Message, MessagesAcknowledged, MessageSent
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, agent_now
from services.state.domain.task import Artifact, ArtifactStored, Handoff, HandoffWritten, Task


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, and who has not read it."""

    message: Message
    unread_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An agent has read messages."""

    task_id: str
    agent_id: str
    message_ids: tuple[str, ...]
    at: datetime


Thing: TypeAlias = (
    AgentSnapshot | Entry | Mail | Acknowledgement | Artifact | Handoff | Checkpoint | AgentRevoked
)
Aggregate: TypeAlias = Agent | Board | Inbox | Task | Checkpoints | tuple[AgentRevoked, ...]
_OF_AGENT = get_args(agents.Event)


@dataclass(frozen=True, slots=True)
class Interest:
    """A watch's filter: everything of the tenant, of one task of it, of one agent, or of one agent in one task."""

    tenant: str
    task_id: str = ""
    agent_id: str = ""

    def wants(self, tasks: tuple[str, ...], agents: tuple[str, ...]) -> bool:
        """Whether what concerns these tasks and agents is shown."""
        return (not self.task_id or self.task_id in tasks) and (not self.agent_id or self.agent_id in agents)


class Whose(NamedTuple):
    """What an agent, an entry, a checkpoint or a handoff belongs to, until it goes over to another task or agent.

    An agent has several tasks while runs of it wait in others than the one it works on.
    """

    tasks: tuple[str, ...]
    agent_id: str


class Concern(NamedTuple):
    """What an event changed: the thing's name, whom it concerns, and the thing; an agent is read when it is shown."""

    name: tuple[str, ...]
    tasks: tuple[str, ...]
    agents: tuple[str, ...]
    what: Thing | None
    now: Whose | None = None
    """Of a departure: whose it is now. It is told to those alone who do not see that one."""

    def wanted(self, interest: Interest) -> bool:
        return interest.wants(self.tasks, self.agents) and not (
            self.now and interest.wants(self.now.tasks, (self.now.agent_id,))
        )

    @property
    def whose(self) -> Whose | None:
        """Of what may go over to another, whose it is by now."""
        return Whose(self.tasks, self.agents[0]) if self.name[0] in _GOING_OVER and self.tasks else None

    def departures(self, before: Whose) -> "Iterator[Concern]":
        """The same, for who watched it as long as it was `before`'s: one for each task it has left, or agent.

        Each has a name of its own: what happens to the thing afterwards concerns them no more and takes not its place.
        """
        now = self.whose
        for task_id in before.tasks:
            if now is None or task_id not in now.tasks or before.agent_id != now.agent_id:
                name = (*self.name, "left", task_id, before.agent_id)
                yield Concern(name, (task_id,), (before.agent_id,), self.what, now)


_GOING_OVER = frozenset({"agent", "entry", "checkpoint", "handoff"})


class Shown(NamedTuple):
    """A thing, and where the event stands that made it what it is; 0 when that is not known."""

    sequence: int
    what: Thing


def interest(tenant: str, task_id: str, agent_id: str) -> Interest:
    """Raises Invalid: a malformed id."""
    if task_id:
        require_token(task_id, "task_id")
    if agent_id:
        require_agent_id(agent_id)
    return Interest(tenant, task_id, agent_id)


def concern(
    tenant: str,
    id: str,
    event: object,
    sequence: int,
    tasks_of: Callable[[str, str], tuple[str, ...]],
    between: Callable[[str, str, tuple[str, ...]], Iterable[str]],
) -> Concern | None:
    """What `event` of aggregate `id` changed; `None` when that is nothing a watch shows.

    `tasks_of` says what an agent of a tenant works on. `between` says who may have sent these messages of a task, or
    been sent them.
    """
    if isinstance(event, _OF_AGENT):  # nearly all are
        return Concern(("agent", id), tasks_of(tenant, id), (id,), None)
    match event:
        case EntryPut(entry=entry):
            name = ("entry", id, entry.section, entry.key)
            return Concern(name, (id,), (entry.author,), _placed(entry, sequence))
        case MessageSent(message=message):
            mail = Mail(replace(message, sequence=sequence), message.recipients)
            return Concern(("message", id, message.message_id), (id,), parties(message), mail)
        case MessagesAcknowledged(agent_id=agent_id, message_ids=ids, at=at):
            # Each by itself: it says what this one changed, and not all that has been read by now.
            who = tuple({agent_id, *between(tenant, id, ids)})
            read = Acknowledgement(id, agent_id, ids, at)
            return Concern(("acknowledgement", id, str(sequence)), (id,), who, read)
        case CheckpointSaved(checkpoint=saved):
            return Concern(("checkpoint", id), (saved.task_id,), (saved.agent_id,), _placed(saved, sequence))
        case ArtifactStored(artifact=artifact):
            which = (artifact.sha256, artifact.name, artifact.run_id)
            return Concern(("artifact", id, *which), (id,), (), artifact)
        case HandoffWritten(handoff=handoff):
            return Concern(("handoff", id), (id,), (handoff.previous_agent_id,), handoff)
        case AgentRevoked():
            return Concern(("revocation", id), tasks_of(tenant, id), (id,), event)
        case _:
            return None


def things(
    aggregate: Aggregate, tasks_of: Callable[[str], tuple[str, ...]]
) -> Iterator[tuple[Shown, tuple[str, ...], tuple[str, ...]]]:
    """Everything there is of `aggregate`, each with the tasks and agents it concerns; of checkpoints the newest.

    `tasks_of` says what an agent works on.
    """
    match aggregate:
        case Agent():
            yield Shown(aggregate.sequence, agent_now(aggregate)), aggregate.tasks, (aggregate.agent_id,)
        case Board():
            for entry in aggregate.entries.values():
                if entry.value:
                    yield Shown(entry.sequence, entry), (entry.task_id,), (entry.author,)
        case Inbox():
            for message in aggregate.waiting.values():
                mail = Mail(message, tuple(sorted(aggregate.missing[message.message_id])))
                yield Shown(message.sequence, mail), (message.task_id,), parties(message)
        case Task():
            for artifact in aggregate.artifacts:
                yield Shown(0, artifact), (artifact.task_id,), ()
            if aggregate.handoff is not None:
                handoff = aggregate.handoff.handoff
                yield Shown(0, handoff), (handoff.task_id,), (handoff.previous_agent_id,)
        case Checkpoints():
            if (saved := aggregate.newest) is not None:
                yield Shown(saved.sequence, saved), (saved.task_id,), (saved.agent_id,)
        case _:
            for revoked in aggregate:
                yield Shown(0, revoked), tasks_of(revoked.agent_id), (revoked.agent_id,)


def cursor_of(interest: Interest, sequence: int) -> str:
    """The cursor of a watch that has shown everything up to `sequence`."""
    return base64.urlsafe_b64encode(json.dumps([_mark(interest), sequence]).encode()).decode().rstrip("=")


def shown_to(interest: Interest, cursor: str) -> int:
    """The sequence up to which the watch that `cursor` ended has shown everything.

    Raises:
        CursorInvalid: not a cursor, or one of another tenant's watch or of another filter.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, sequence = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        raise CursorInvalid from None
    # bool is an int to Python and a float is none
    if mark != _mark(interest) or type(sequence) is not int or not 0 <= sequence < 1 << 63:
        raise CursorInvalid
    return sequence


def _mark(interest: Interest) -> str:
    asked = ("watch state", interest.tenant, interest.task_id, interest.agent_id)
    return sha256(repr(asked).encode()).hexdigest()[:16]


def _placed(thing: Entry | Checkpoint, sequence: int) -> Entry | Checkpoint:
    return replace(thing, sequence=sequence)


def parties(message: Message) -> tuple[str, ...]:
    """Who has sent it, and everybody it was sent to."""
    return (message.from_agent_id, *message.recipients)
