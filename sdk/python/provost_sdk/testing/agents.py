"""Agents that are attached to a double: each is given the runs that name it, as Provost would."""

import asyncio

from provost.orchestrator.v1 import orchestrator_pb2 as pb

Answer = pb.Proposal | pb.AttachAgentRequest.Failure


class Agents:
    """By agent: what waits for it. `beats` counts the signs of life of each."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Queue[pb.Task | None]] = {}
        self._awaited: dict[str, tuple[str, asyncio.Future[Answer]]] = {}
        self._changed = asyncio.Event()
        self.beats: dict[str, int] = {}
        self.revoked: set[str] = set()

    def seat(self, agent_id: str) -> "asyncio.Queue[pb.Task | None]":
        """What is put here is the agent's to do, until None is."""
        self._tasks[agent_id] = asyncio.Queue()
        self._changed.set()
        return self._tasks[agent_id]

    async def attached(self, agent_id: str, timeout_seconds: float = 10.0) -> None:
        """Wait until an agent is attached. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while agent_id not in self._tasks:
                self._changed.clear()
                await self._changed.wait()

    def here(self, agent_id: str) -> bool:
        return agent_id in self._tasks

    async def think(self, agent_id: str, task: pb.Task) -> Answer:
        """What an attached agent answers to a task; a failure when it leaves without an answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._awaited[task.run_id] = agent_id, answer
        self._tasks[agent_id].put_nowait(task)
        try:
            return await answer
        finally:
            del self._awaited[task.run_id]

    def heard(self, agent_id: str, said: pb.AttachAgentRequest) -> None:
        """Something that an attached agent says."""
        match said.WhichOneof("message"):
            case "beat":
                self.beats[agent_id] = self.beats.get(agent_id, 0) + 1
            case "proposal":
                self._answered(said.proposal.run_id, said.proposal)
            case "failure":
                self._answered(said.failure.run_id, said.failure)
            case _:
                pass  # a fresh session: any will do here

    def revoke(self, agent_id: str) -> None:
        """Take all power from an agent: its stream ends, and it is not let in again."""
        self.revoked.add(agent_id)
        self.leave(agent_id)

    def leave(self, agent_id: str = "") -> None:
        """End the stream of an agent, or of all."""
        for each in [agent_id] if agent_id else list(self._tasks):
            tasks = self._tasks.pop(each, None)
            if tasks is not None:
                tasks.put_nowait(None)
            for run_id, (owner, _) in list(self._awaited.items()):
                if owner == each:
                    self._answered(run_id, pb.AttachAgentRequest.Failure(message=f"agent {each} has gone"))

    def _answered(self, run_id: str, answer: Answer) -> None:
        _, awaited = self._awaited.get(run_id, ("", None))
        if awaited is not None and not awaited.done():
            awaited.set_result(answer)
