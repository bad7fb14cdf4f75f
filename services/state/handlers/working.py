"""Who works on a task, under which lock, what sticks to who reads, and goes where it writes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from kernel.events import Cause, derived_id, require_token
from kernel.ports import Following
from services.state.domain.crew import present
from services.state.domain.faults import FieldInvalid, TaskUnknown
from services.state.domain.labels import Labelling, LabelRun, stick
from services.state.domain.view import View
from services.state.handlers.kept import Kept, known
from services.state.handlers.writing import Writing
from services.state.ports import Sets


@dataclass(frozen=True, slots=True)
class Reader:
    """The run that is about to read something, and takes on its labels."""

    agent_id: str
    run_id: str


class _Labelled(Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...


def labels_of(things: Iterable[_Labelled]) -> frozenset[str]:
    """What sticks to who is shown all of them."""
    return frozenset(label for each in things for label in each.labels)


class Working:
    """Agents at work, as everything that they share has to know them."""

    def __init__(self, kept: Kept, view: View, sets: Sets, following: Following, writing: Writing) -> None:
        self._writing = writing
        self._agents = kept.agents
        self._recall = kept.recall
        self._following = following
        self._view = view
        self._sets = sets

    def labelling(self, tenant: str, agent_id: str = "", run_id: str = "") -> Labelling:
        """What something that the agent writes may bear, and bears because of what its run has read.

        A run knows what it has read as whichever agent it has worked for. Who does not say which run writes means the
        newest.
        """
        named = self._sets.labelling(tenant)
        if run_id:
            read = (agent.labelled.of(run_id) for _, agent in self._agents.all(tenant) if agent.labelled.runs)
            return replace(named, carried=frozenset().union(*read))
        if agent_id:
            return replace(named, carried=frozenset(self._agents.current(tenant, agent_id).labels))
        return named

    def labelling_of_all_runs(self, tenant: str, agent_id: str) -> Labelling:
        """The same, when it cannot be known which run of the agent writes."""
        every = self._agents.current(tenant, agent_id).labelled.every()
        return replace(self._sets.labelling(tenant), carried=frozenset(every))

    def crew(self, tenant: str, task_id: str, *members: str) -> frozenset[str]:
        """Who works on the task; of `members` as it is now, of others as far as it has been followed.

        A revoked agent does not: what is sent to it would wait for ever.
        """
        told = self._view.crews.get((tenant, task_id))
        crew = told.agents if told else frozenset()
        crew |= {each for each in members if each not in crew and self._took(tenant, task_id, each)}
        return frozenset(each for each in crew if not self._view.is_revoked(tenant, each))

    def present(self, tenant: str, task_id: str, agent_id: str = "") -> frozenset[str]:
        """Who is there to be sent to: of all the agents, or of this one alone. Whoever was revoked is not."""
        agents = (
            [(agent_id, self._agents.current(tenant, agent_id))] if agent_id else self._agents.all(tenant)
        )
        return frozenset(
            each
            for each, agent in agents
            if present(agent, task_id) and not self._view.is_revoked(tenant, each)
        )

    async def catch_up(self) -> None:
        """Wait until all that is in the log at this moment is known here. Raises Unavailable."""
        await self._following.reached(await self._recall.last_sequence())

    async def require_person(self, task_id: str, fencing_token: int, cause: Cause) -> None:
        """What a person says of a task, it says without a lock, and of one in which something ever happened.

        Raises:
            TaskUnknown: whoever types its name may have mistyped it.
            Invalid, Unavailable.
        """
        if fencing_token:
            raise FieldInvalid("fencing_token", "must be 0: a person holds no lock")
        require_token(task_id, "task_id")
        if self._view.recent.touched(cause.tenant, task_id) is None:
            await self.catch_up()  # it may have begun just now
            if self._view.recent.touched(cause.tenant, task_id) is None:
                raise TaskUnknown(task_id)

    def require_reader(self, reader: Reader | None, cause: Cause) -> None:
        """Raises Invalid, AgentStateUnknown when nothing could stick to who reads."""
        if reader is None:
            return
        require_token(reader.run_id, "run_id")
        known(self._agents, cause.tenant, reader.agent_id)

    def may_run(self, reader: Reader, cause: Cause) -> bool:
        """Whether the run may be the agent's: it has worked for it lately, or goes on for nobody else."""
        agent = self._agents.current(cause.tenant, reader.agent_id)
        of_agent = (agent.last_run, agent.lock.holder if agent.lock else "", *agent.runs())
        return reader.run_id in of_agent or not any(
            reader.run_id in each.runs() for _, each in self._agents.all(cause.tenant)
        )

    async def stick(
        self, reader: Reader | None, labels: frozenset[str], by_reading: str, cause: Cause
    ) -> None:
        """What is read labels the run, before it is read. Raises AgentIsRevoked, Unavailable: then it may not be."""
        if reader is None or not labels:
            return
        command = LabelRun(reader.agent_id, reader.run_id, tuple(sorted(labels)), by_reading, cause.at)
        with self._writing.by(cause.tenant, reader.agent_id):
            known = self._agents.current(cause.tenant, reader.agent_id).labelled.runs
            # What sticks is there for good, whatever a replica has not heard yet: most reads are none of the log's.
            if stick(known.get(reader.run_id, ()), command) is not None:
                asked = cause.about(command.run_id, *command.labels)
                await self._agents.handle(reader.agent_id, command, asked)

    async def stick_packet(self, agent_id: str, cause: Cause) -> None:
        """Who holds the lock of an agent has read its packet, also when its lease is over: it may still renew it.

        Raises Unavailable: then nothing may come of it.
        """
        agent = self._agents.current(cause.tenant, agent_id)
        if agent.packet is None or agent.lock is None or agent.lock.released:
            return
        if self._view.is_revoked(cause.tenant, agent_id):
            return  # nothing of what it has read is written any more
        asking = replace(cause, request_id=derived_id("labels of the packet", cause.request_id))
        await self.stick(
            Reader(agent_id, agent.lock.holder), frozenset(agent.packet.labels), "packet", asking
        )

    def _took(self, tenant: str, task_id: str, agent_id: str) -> bool:
        lock = self._agents.current(tenant, agent_id).lock
        return lock is not None and lock.task_id == task_id
