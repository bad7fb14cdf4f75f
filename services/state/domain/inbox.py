"""Messages between the agents of a task: to one or to all, each delivered until it is acknowledged.

One task's messages are one aggregate, so that everybody sees them in one order, each sender's own among them. What all
have acknowledged is let go; what nobody fetches is kept, up to a limit for each agent: whose inbox is full is given no
more, which its sender is told, and everybody else is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias, assert_never

from kernel.decider import Decider
from kernel.events import require_token
from services.state.domain.bounds import require_agent_id, require_json, require_name
from services.state.domain.faults import InboxFull, MessageTooLarge, RecipientUnknown
from services.state.domain.labels import Labelling
from services.state.domain.sequenced import Sequenced, placed

MAX_BODY_BYTES = 64 * 1024
MAX_WAITING, MAX_WAITING_BYTES = 1000, 4 * 1024 * 1024
"""So many messages of a task may wait for one agent."""
KEPT_READ = 100
"""So many that all have acknowledged are kept, to be looked at."""

# wants


@dataclass(frozen=True, slots=True)
class SendMessage:
    message_id: str
    task_id: str
    from_agent_id: str
    to_agent_id: str
    type: str
    body: str
    in_reply_to: str
    labels: tuple[str, ...]
    labelling: Labelling
    crew: frozenset[str]
    """Who sends, if it may, and who is there to be sent to, as far as state knows."""
    at: datetime
    run_id: str = ""
    """Which run of the sender writes; its newest if it does not say."""


@dataclass(frozen=True, slots=True)
class AcknowledgeMessages:
    task_id: str
    agent_id: str
    up_to_sequence: int
    message_ids: tuple[str, ...]
    at: datetime


Command: TypeAlias = SendMessage | AcknowledgeMessages

# facts


@dataclass(frozen=True, slots=True)
class Message:
    message_id: str
    task_id: str
    from_agent_id: str
    to_agent_id: str
    """Empty: to all others."""
    type: str
    body: str
    in_reply_to: str
    at: datetime
    labels: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    """To whom it goes: the one it is for, or all who worked on the task when it was sent."""
    sequence: int = 0
    passed_over: tuple[str, ...] = ()
    """Of a message to all: whose inbox was full, so that it does not go to them."""


@dataclass(frozen=True, slots=True)
class MessageSent:
    message: Message


@dataclass(frozen=True, slots=True)
class MessagesAcknowledged:
    task_id: str
    agent_id: str
    up_to_sequence: int
    message_ids: tuple[str, ...]
    at: datetime


Event: TypeAlias = MessageSent | MessagesAcknowledged

# state


@dataclass(frozen=True, slots=True)
class Load:
    """What waits for one agent."""

    messages: int = 0
    n_bytes: int = 0

    def plus(self, message: Message) -> "Load":
        return Load(self.messages + 1, self.n_bytes + len(message.body.encode()))

    def less(self, message: Message) -> "Load":
        return Load(self.messages - 1, self.n_bytes - len(message.body.encode()))


@dataclass(frozen=True, slots=True)
class Inbox:
    waiting: MappingProxyType[str, Message] = field(default_factory=lambda: MappingProxyType({}))
    """By message id, in the order they were sent: those that somebody has not acknowledged."""
    missing: MappingProxyType[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Who has not acknowledged each of them."""
    read: MappingProxyType[str, Message] = field(default_factory=lambda: MappingProxyType({}))
    """The newest of those that all have acknowledged, in the order that they were."""
    loads: MappingProxyType[str, Load] = field(default_factory=lambda: MappingProxyType({}))
    """Of those for whom something waits."""
    sequence: int = 0

    def message(self, message_id: str) -> Message | None:
        """The message, if it is still kept."""
        return self.waiting.get(message_id) or self.read.get(message_id)

    def unread(self, agent_id: str) -> Iterator[Message]:
        """What waits for an agent, or for anybody when `agent_id` is empty, oldest first."""
        return (
            each
            for each in self.waiting.values()
            if not agent_id or agent_id in self.missing[each.message_id]
        )

    def sent_to(self, agent_id: str) -> Iterator[Message]:
        """What was sent to an agent, or to anybody, oldest first, and is still kept."""
        every = sorted((*self.read.values(), *self.waiting.values()), key=lambda each: each.sequence)
        return (each for each in every if not agent_id or agent_id in each.recipients)


# decide


def decide(inbox: Inbox, command: Command) -> Event | None:
    """What happens; `None` when it has happened already.

    Raises:
        Invalid: a field is out of bounds, or the body is no JSON.
        RecipientUnknown: nobody of that name works on the task.
        MessageTooLarge: it fits nowhere.
        InboxFull: there is no room for it with any that it is for.
        LabelUnknown: the policy set does not have the label.
    """
    match command:
        case SendMessage():
            return _send(inbox, command)
        case AcknowledgeMessages():
            return _acknowledge(inbox, command)
        case _:
            assert_never(command)


def _send(inbox: Inbox, command: SendMessage) -> MessageSent | None:
    require_token(command.task_id, "task_id")
    require_token(command.message_id, "message_id")
    require_agent_id(command.from_agent_id, "from_agent_id")
    require_name(command.type, "type")
    if inbox.message(command.message_id) is not None:
        return None
    n_bytes = len(command.body.encode())
    if n_bytes > MAX_BODY_BYTES:
        raise MessageTooLarge(n_bytes, MAX_BODY_BYTES)
    require_json(command.body, "body")
    if command.in_reply_to:
        require_token(command.in_reply_to, "in_reply_to")
    if command.from_agent_id not in command.crew:
        raise RecipientUnknown("from_agent_id", command.from_agent_id, command.task_id)
    others = command.crew - {command.from_agent_id}
    if command.to_agent_id:
        require_agent_id(command.to_agent_id, "to_agent_id")
        if command.to_agent_id not in others:
            raise RecipientUnknown("to_agent_id", command.to_agent_id, command.task_id)
        others = frozenset({command.to_agent_id})
    elif not others:
        raise RecipientUnknown("to_agent_id", "", command.task_id)
    full = frozenset(each for each in others if not _has_room(inbox.loads.get(each), n_bytes))
    if full == others:
        raise InboxFull(command.task_id, sorted(full), MAX_WAITING, MAX_WAITING_BYTES)
    return MessageSent(
        Message(
            command.message_id,
            command.task_id,
            command.from_agent_id,
            command.to_agent_id,
            command.type,
            command.body,
            command.in_reply_to,
            command.at,
            command.labelling.of(command.labels),
            tuple(sorted(others - full)),
            passed_over=tuple(sorted(full)),
        )
    )


def _has_room(load: Load | None, n_bytes: int) -> bool:
    return load is None or (load.messages < MAX_WAITING and load.n_bytes + n_bytes <= MAX_WAITING_BYTES)


def _acknowledge(inbox: Inbox, command: AcknowledgeMessages) -> MessagesAcknowledged | None:
    require_token(command.task_id, "task_id")
    require_agent_id(command.agent_id)
    named = frozenset(command.message_ids)
    ids = tuple(
        each.message_id
        for each in inbox.unread(command.agent_id)
        if each.message_id in named or each.sequence <= command.up_to_sequence
    )
    if not ids:
        return None
    return MessagesAcknowledged(command.task_id, command.agent_id, command.up_to_sequence, ids, command.at)


# evolve


def evolve(inbox: Inbox, event: Event | Sequenced[Event]) -> Inbox:
    """`inbox` after `event`."""
    told: Event
    told, sequence = placed(event)
    read, loads = inbox.read, inbox.loads.copy()
    match told:
        case MessageSent(message=message):
            waiting = inbox.waiting | {message.message_id: replace(message, sequence=sequence)}
            missing = inbox.missing | {message.message_id: frozenset(message.recipients)}
            loads |= {each: loads.get(each, Load()).plus(message) for each in message.recipients}
        case MessagesAcknowledged(agent_id=agent_id, message_ids=message_ids):
            waiting, missing, done = inbox.waiting.copy(), inbox.missing.copy(), inbox.read.copy()
            for each in message_ids:
                left = missing.get(each, frozenset())
                if agent_id not in left:
                    continue
                loads[agent_id] = loads[agent_id].less(waiting[each])
                if left := left - {agent_id}:
                    missing[each] = left
                else:
                    done[each] = waiting.pop(each)
                    missing.pop(each)
            if loads.get(agent_id) == Load():
                del loads[agent_id]
            read = MappingProxyType(dict(list(done.items())[-KEPT_READ:]))
        case _:
            assert_never(told)
    return Inbox(
        MappingProxyType(waiting), MappingProxyType(missing), read, MappingProxyType(loads), sequence
    )


INBOX: Decider[Command, Inbox, Event | Sequenced[Event]] = Decider("state", "inbox", Inbox(), decide, evolve)
