"""Messages between agents: sent once, delivered until they are acknowledged."""

from collections.abc import Sequence
from dataclasses import replace

from kernel.events import Appended, Cause, Stream, require_token
from kernel.ports import Following
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import FieldInvalid
from services.state.domain.inbox import AcknowledgeMessages, Message, MessageSent, SendMessage
from services.state.domain.lock import ShowToken
from services.state.domain.page import Page, number_of, page_size_of
from services.state.domain.plain import from_json
from services.state.domain.tables import WaitingDocument
from services.state.domain.view import Part, Place
from services.state.handlers.kept import Kept
from services.state.handlers.losing import Writing
from services.state.handlers.working import Reader, Working
from services.state.ports import Mirror, Named, Table


class Inboxes:
    """What the agents of each task tell each other."""

    def __init__(
        self, kept: Kept, mirror: Mirror, following: Following, working: Working, writing: Writing
    ) -> None:
        self._writing = writing
        self._inboxes = kept.inboxes
        self._recall = kept.recall
        self._mirror = mirror
        self._following = following
        self._working = working

    async def send(
        self, command: SendMessage, fencing_token: int, person: bool, cause: Cause
    ) -> tuple[Message, int]:
        """The message, and the sequence. Its id is that of its event. A person need not be one of the crew.

        Raises:
            RecipientUnknown, MessageTooLarge, InboxFull, LabelUnknown, AgentIsRevoked, Invalid: nothing was sent.
            FencingTokenStale: nothing was sent, and this was recorded.
            TaskUnknown: a person named a task in which nothing ever happened.
        """
        if person:
            if fencing_token:
                raise FieldInvalid("fencing_token", "must be 0: a person holds no lock")
            await self._working.require_task(require_token(command.task_id, "task_id"), cause)
            return await self._send(command, person, cause)
        with self._writing.by(cause.tenant, command.from_agent_id):
            shown = ShowToken(command.from_agent_id, command.task_id, fencing_token, cause.actor, cause.at)
            await self._working.require_lock(shown, cause)
            return await self._send(command, person, cause)

    async def _send(self, command: SendMessage, person: bool, cause: Cause) -> tuple[Message, int]:
        task_id = require_token(command.task_id, "task_id")
        sender, recipient = command.from_agent_id, command.to_agent_id
        crew = (
            self._working.crew(cause.tenant, task_id, sender, recipient)
            if recipient
            else self._working.everybody(cause.tenant, task_id)
        )
        stream = Stream(cause.tenant, "state", "inbox", task_id)
        message_id = stream.event_id(cause.request_id)
        command = replace(
            command,
            message_id=message_id,
            crew=crew | {sender} if person else crew,
            labelling=self._working.labelling(cause.tenant, "" if person else sender, command.run_id),
        )
        appended = await self._inboxes.handle(task_id, command, cause)
        message = self._inboxes.current(cause.tenant, task_id).message(message_id)
        if message is None:
            # Asked again, and everybody has acknowledged it long since: the answer is what it was.
            sent = await self._recall.event(stream, appended.sequence)
            assert isinstance(sent, MessageSent), "what bears the id of a message sent is one"
            message = replace(sent.message, sequence=appended.sequence)
        return message, message.sequence

    async def acknowledge(self, command: AcknowledgeMessages, cause: Cause) -> Appended:
        """Raises Invalid."""
        return await self._inboxes.handle(require_token(command.task_id, "task_id"), command, cause)

    async def list(
        self,
        task_id: str,
        agent_id: str,
        acknowledged_too: bool,
        page_size: int,
        page_token: str,
        at_least_sequence: int,
        reader: Reader | None,
        cause: Cause,
    ) -> Page[Message]:
        """To one agent, or to anybody when `agent_id` is empty, oldest first; by default those that wait.

        Raises:
            AgentStateUnknown, Invalid, Unavailable.
        """
        size, after = page_size_of(page_size), number_of(page_token) or 0
        if agent_id:
            require_agent_id(agent_id)
        self._working.require_reader(reader, cause)
        own = self._inboxes.current(cause.tenant, require_token(task_id, "task_id")).sequence
        await self._following.reached(max(at_least_sequence, own))
        place = Place(cause.tenant, task_id, Part.MESSAGES)
        if acknowledged_too:
            (table,) = await self._mirror.read((Table(place),))
            every = [from_json(Message, text) for text in table.values()]
            found = sorted(
                (each for each in every if each.sequence > after and agent_id in ("", *each.recipients)),
                key=lambda each: each.sequence,
            )
            shown, more = found[:size], len(found) > size
        else:
            names = [(at, name) for at, name in await self._waiting(place, agent_id) if at > after]
            shown, more = [], len(names) > size
            if names:
                (texts,) = await self._mirror.read((Named(place, tuple(name for _, name in names[:size])),))
                shown = [from_json(Message, text) for text in texts if text is not None]
                more = more and bool(shown)
        labels = frozenset(label for message in shown for label in message.labels)
        await self._working.stick(reader, labels, "messages", cause)
        return Page(tuple(shown), str(shown[-1].sequence) if more else "")

    async def _waiting(self, place: Place, agent_id: str) -> Sequence[tuple[int, str]]:
        """Place in the log and id of what waits for an agent, or for anybody, oldest first."""
        (table,) = await self._mirror.read((Table(place._replace(part=Part.WAITING)),))
        every = ((from_json(WaitingDocument, text), name) for name, text in table.items())
        return sorted((each.sequence, name) for each, name in every if agent_id in ("", *each.missing))
