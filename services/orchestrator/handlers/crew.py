"""Agents that are attached now, and which of them are busy.

In memory: who was attached before a restart attaches again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count

from kernel.faults import Fault, Refused, Unavailable
from services.orchestrator.domain.records import Proposal
from services.orchestrator.ports.crew import Task


class Seat:
    """One attached agent: its newest token, the tasks on their way to it, the answers awaited from it."""

    def __init__(self, tenant: str, agent_id: str, token: str) -> None:
        self.tenant = tenant
        self.agent_id = agent_id
        self.token = token
        self._tasks: asyncio.Queue[Task | None] = asyncio.Queue()
        self._awaited: dict[str, asyncio.Future[Proposal]] = {}
        self.left: Fault | None = None
        self.heard_at = 0.0
        """When it last said anything, in seconds of the clock of whoever reads its stream."""
        self._over: asyncio.TimerHandle | None = None

    def renew(self, token: str, left_seconds: float) -> None:
        """It has shown a session: the seat is its for as long as that lasts."""
        self.token = token
        if self._over is not None:
            self._over.cancel()
        over = Unavailable(
            "TOKEN_EXPIRED", f"the session of agent {self.agent_id} is over: log in, and attach again"
        )
        self._over = asyncio.get_running_loop().call_later(left_seconds, self.leave, over)

    async def tasks(self) -> AsyncIterator[Task]:
        """What the agent is to do, until the seat is left."""
        while (task := await self._tasks.get()) is not None:
            yield task

    async def think(self, task: Task, timeout_seconds: float) -> Proposal:
        answer: asyncio.Future[Proposal] = asyncio.get_running_loop().create_future()
        self._awaited[task.run_id] = answer
        try:
            self._tasks.put_nowait(task)
            async with asyncio.timeout(timeout_seconds):
                return await answer
        except TimeoutError:
            raise Refused(
                "AGENT_FAILED",
                f"agent {self.agent_id} did not answer within {timeout_seconds:.0f} s",
                error_type="TIMEOUT",
            ) from None
        finally:
            if self._awaited.get(task.run_id) is answer:
                del self._awaited[task.run_id]

    def propose(self, proposal: Proposal) -> None:
        """The agent's answer; one that nobody waits for any more is dropped."""
        awaited = self._awaited.get(proposal.run_id)
        if awaited is not None and not awaited.done():
            awaited.set_result(proposal)

    def fail(self, run_id: str, fault: Fault) -> None:
        awaited = self._awaited.get(run_id)
        if awaited is not None and not awaited.done():
            awaited.set_exception(fault)

    def leave(self, fault: Fault) -> None:
        """The stream has ended: nothing more will be answered."""
        self.left = self.left or fault
        if self._over is not None:
            self._over.cancel()
        self._tasks.put_nowait(None)
        for run_id in list(self._awaited):
            self.fail(run_id, fault)


class AttachedCrew:
    """`ports.Crew` over the streams of this process. `is_crew` tells the built-in agents, which any run may take."""

    def __init__(self, is_crew: Callable[[str, str], bool]) -> None:
        self._is_crew = is_crew
        self._seats: dict[tuple[str, str], Seat] = {}
        self._busy: dict[tuple[str, str], str] = {}
        self._rested: dict[tuple[str, str], int] = {}
        self._order = count(1)
        self._expelled: dict[tuple[str, str], int] = {}
        self._suspended: set[tuple[str, str]] = set()
        self.elsewhere: Callable[[str, str], bool] = lambda _tenant, _agent_id: False
        self.bound: Callable[[str, str], str] = lambda _tenant, _agent_id: ""
        """The run that an agent belongs to by the log, whoever carries that; empty: to none."""
        self._changed = asyncio.Event()

    def attach(self, tenant: str, agent_id: str, token: str) -> Seat:
        """A seat for an agent; an older stream of the same agent is ended."""
        old = self._seats.get((tenant, agent_id))
        seat = self._seats[tenant, agent_id] = Seat(tenant, agent_id, token)
        if old is not None:
            old.leave(Unavailable("PEER_UNREACHABLE", f"agent {agent_id} attached again"))
        self._notify()
        return seat

    def detach(self, seat: Seat, fault: Fault) -> None:
        if self._seats.get((seat.tenant, seat.agent_id)) is seat:
            del self._seats[seat.tenant, seat.agent_id]
        seat.leave(fault)

    def expel(self, tenant: str, agent_id: str, fault: Fault) -> None:
        """End the stream of an agent that was revoked, and never seat it again."""
        seat = self._seats.get((tenant, agent_id))
        self._expelled[tenant, agent_id] = self._expelled.get((tenant, agent_id), 0) + (seat is not None)
        if seat is not None:
            self.detach(seat, fault)

    def streams_ended(self, tenant: str, agent_id: str) -> int:
        """How many streams of an agent ended because it was revoked."""
        return self._expelled[tenant, agent_id]

    def expelled(self, tenant: str, agent_id: str) -> bool:
        return (tenant, agent_id) in self._expelled

    def suspend(self, tenant: str, agent_id: str, suspended: bool) -> None:
        """Whether an agent is given runs that any agent may have: its own it is refused by policy, which says why."""
        (self._suspended.add if suspended else self._suspended.discard)((tenant, agent_id))
        self._notify()

    def reserve(self, tenant: str, agent_id: str, run_id: str) -> bool:
        key = (tenant, agent_id)
        if self._busy.get(key) == run_id:
            return True
        if key in self._busy or key not in self._seats or self.bound(tenant, agent_id) not in {"", run_id}:
            return False
        self._busy[key] = run_id
        return True

    def reserve_any(self, tenant: str, run_id: str) -> str:
        for (of_tenant, agent_id), busy_with in self._busy.items():
            if (of_tenant, busy_with) == (tenant, run_id):
                return agent_id  # asked again: a second one would never be given back
        free = [key for key in self._of_crew(tenant) if key not in self._busy and not self.bound(*key)]
        if not free:
            return ""
        key = min(free, key=lambda each: self._rested.get(each, 0))
        self._busy[key] = run_id
        return key[1]

    def hold(self, tenant: str, agent_id: str, run_id: str) -> None:
        """Bind an agent that need not be attached yet to a run that had it before this process began."""
        self._busy.setdefault((tenant, agent_id), run_id)

    def release(self, tenant: str, agent_id: str, run_id: str) -> None:
        if self._busy.get((tenant, agent_id)) == run_id:
            del self._busy[tenant, agent_id]
            self._rested[tenant, agent_id] = next(self._order)
            self._notify()

    def keep(self, tenant: str, run_id: str, agent_id: str) -> None:
        """Of those that are busy with a run only this agent stays so; empty: none."""
        for of_tenant, busy in [key for key, busy_with in self._busy.items() if busy_with == run_id]:
            if of_tenant == tenant and busy != agent_id:
                self.release(tenant, busy, run_id)

    def present(self, tenant: str) -> bool:
        return bool(self._of_crew(tenant))

    def _of_crew(self, tenant: str) -> list[tuple[str, str]]:
        """Those attached whom any run may take."""
        return [
            key
            for key in self._seats
            if key[0] == tenant and key not in self._suspended and self._is_crew(*key)
        ]

    def seated(self, tenant: str, agent_id: str) -> bool:
        """Whether an agent is attached here."""
        return (tenant, agent_id) in self._seats

    @property
    def seats(self) -> frozenset[tuple[str, str]]:
        """Tenant and id of everybody who is attached here."""
        return frozenset(self._seats)

    @property
    def crews(self) -> Mapping[str, int]:
        """How many of the built-in crew are attached here and may work, by tenant; those who have none are left out."""
        return Counter(key[0] for key in self._seats if key not in self._suspended and self._is_crew(*key))

    def heard_since(self, since: float, built_in: bool) -> int:
        """How many are attached here and have said something since: those of the built-in crew, or all others.

        May be asked in any thread.
        """
        seats = list(self._seats.values())
        return sum(s.heard_at >= since and self._is_crew(s.tenant, s.agent_id) == built_in for s in seats)

    def dismiss_one(self) -> None:
        """Have an idle agent of the crew attach again: another replica has more room."""
        for key, seat in list(self._seats.items()):
            if key not in self._busy and self._is_crew(*key):
                self.detach(
                    seat, Unavailable("PEER_UNREACHABLE", "another replica has more room: attach again")
                )
                return

    async def freed(self, timeout_seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(timeout_seconds):
                await changed.wait()
        except TimeoutError:
            return

    def token(self, tenant: str, agent_id: str) -> str:
        seat = self._seats.get((tenant, agent_id))
        return seat.token if seat else ""

    async def think(self, tenant: str, agent_id: str, task: Task, timeout_seconds: float) -> Proposal:
        seat = self._seats.get((tenant, agent_id))
        if seat is None:
            raise Unavailable("PEER_UNREACHABLE", f"agent {agent_id} is not attached")
        return await seat.think(task, timeout_seconds)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
