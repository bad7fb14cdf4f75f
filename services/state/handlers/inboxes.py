"""Messages between agents: sent once, delivered until they are acknowledged."""

from contextlib import nullcontext
from dataclasses import replace

from kernel.events import Appended, Cause, Stream, require_token
from kernel.ports import Following
from services.state.domain.bounds import require_agent_id
from services.state.domain.faults import FieldInvalid, RecipientUnknown
from services.state.domain.inbox import AcknowledgeMessages, Message, MessageSent, SendMessage
from services.state.domain.lock import ShowToken
from services.state.domain.page import Page, number_of, page_size_of
from services.state.handlers.fencing import Fencing
from services.state.handlers.kept import Kept, require_same, written_before
from services.state.handlers.working import Reader, Working


class Inboxes:
    """What the agents of each task tell each other."""

    def __init__(self, kept: Kept, following: Following, working: Working, fencing: Fencing) -> None:
        self._fencing = fencing
        self._writing = fencing.writing
        self._inboxes = kept.inboxes
        self._recall = kept.recall
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
            await self._working.require_person(command.task_id, fencing_token, cause)
            return await self._send(command, fencing_token, person, cause)
        with self._writing.by(cause.tenant, command.from_agent_id):
            return await self._send(command, fencing_token, person, cause)

    async def _send(
        self, command: SendMessage, fencing_token: int, person: bool, cause: Cause
    ) -> tuple[Message, int]:
        task_id = require_token(command.task_id, "task_id")
        stream = Stream(cause.tenant, "state", "inbox", task_id)
        message_id = stream.event_id(cause.asking(SendMessage).request_id)
        shown = ShowToken(
            command.from_agent_id, task_id, fencing_token, cause.actor, cause.at, command.run_id
        )
        appended = await self._fencing.answered(self._inboxes, task_id, SendMessage, shown, cause)
        if appended is None:
            command = replace(command, message_id=message_id)
            appended = await self._write(command, shown, person, cause)
        message = self._inboxes.current(cause.tenant, task_id).message(message_id)
        if message is None:
            # Asked again, and everybody has acknowledged it long since: the answer is what it was.
            sent = await written_before(self._recall, stream, appended.sequence, MessageSent)
            message = replace(sent.message, sequence=appended.sequence)
        require_same(message, command, "from_agent_id", "to_agent_id", "type", "body", "in_reply_to")
        return message, message.sequence

    async def _write(self, command: SendMessage, shown: ShowToken, person: bool, cause: Cause) -> Appended:
        sender = () if person else (command.from_agent_id, command.run_id)
        command = replace(
            command,
            crew=self._crew(command, person, cause),
            labelling=self._working.labelling(cause.tenant, *sender),
        )
        try:
            return await self._fencing.write(self._inboxes, command.task_id, command, shown, cause)
        except RecipientUnknown:
            # Who is meant may have joined at another replica just now.
            await self._working.catch_up()
            command = replace(command, crew=self._crew(command, person, cause))
            return await self._fencing.write(self._inboxes, command.task_id, command, shown, cause)

    def _crew(self, command: SendMessage, person: bool, cause: Cause) -> frozenset[str]:
        sender, task_id = command.from_agent_id, command.task_id
        senders = {sender} if person else {sender} & self._working.crew(cause.tenant, task_id, sender)
        return self._working.present(cause.tenant, task_id, command.to_agent_id) | senders

    async def acknowledge(
        self, command: AcknowledgeMessages, fencing_token: int, person: bool, cause: Cause
    ) -> Appended:
        """An agent has read what it was sent, or a person says so in its name: the event bears theirs.

        Raises:
            FencingTokenStale: nothing was acknowledged, and this was recorded.
            AgentIsRevoked: what waits for it, people may acknowledge.
            TaskUnknown, RecipientUnknown: a person named a task, or in it an agent, that there is none of.
            Invalid, Unavailable.
        """
        task_id = require_token(command.task_id, "task_id")
        if person:
            await self._require_meant(command, fencing_token, cause)
        cause = cause.about(command.agent_id, str(command.up_to_sequence), *sorted(command.message_ids))
        shown = ShowToken(command.agent_id, task_id, fencing_token, cause.actor, cause.at)
        with nullcontext() if person else self._writing.by(cause.tenant, command.agent_id):
            before = await self._fencing.answered(self._inboxes, task_id, AcknowledgeMessages, shown, cause)
            return before or await self._fencing.write(self._inboxes, task_id, command, shown, cause)

    async def _require_meant(self, command: AcknowledgeMessages, fencing_token: int, cause: Cause) -> None:
        """A person types what a program knows."""
        task_id, agent_id = command.task_id, require_agent_id(command.agent_id)
        if not command.up_to_sequence and not command.message_ids:
            raise FieldInvalid("up_to_sequence", "is required, or message_ids: say what has been read")
        await self._working.require_person(task_id, fencing_token, cause)
        # What the person has seen may have been sent at another replica just now.
        await self._working.catch_up()
        inbox = self._inboxes.current(cause.tenant, task_id)
        known = self._working.crew(cause.tenant, task_id, agent_id)
        if agent_id not in known and not any(inbox.sent_to(agent_id)):
            raise RecipientUnknown("agent_id", agent_id, task_id)

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
        require_token(task_id, "task_id")
        self._working.require_reader(reader, cause)
        if reader is not None and reader.agent_id == agent_id and not self._working.may_run(reader, cause):
            text = f"must be a run of {agent_id}: of another agent that reads, say reading_agent_id"
            raise FieldInvalid("run_id", text)
        await self._following.reached(at_least_sequence)
        # What this process has written is in memory before it is answered.
        inbox = self._inboxes.current(cause.tenant, task_id)
        every = inbox.sent_to(agent_id) if acknowledged_too else inbox.unread(agent_id)
        found = [each for each in every if each.sequence > after]
        shown = found[:size]
        labels = frozenset(label for message in shown for label in message.labels)
        await self._working.stick(reader, labels, "messages", cause)
        return Page(tuple(shown), str(shown[-1].sequence) if len(found) > size else "")
