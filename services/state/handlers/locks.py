"""The locks of agents: taken at once or in turn, renewed, given back, taken away by a person."""

from dataclasses import dataclass, replace
from datetime import datetime

from kernel.events import Appended, Cause, require_token
from kernel.ports import Guard
from services.state.domain.errors import ErrorCounts, RecordError
from services.state.domain.faults import (
    FieldInvalid,
    LockPromised,
    LockTaken,
    NoInstructionPacket,
)
from services.state.domain.lock import (
    AcquireLock,
    Advance,
    ForceReleaseLock,
    Lock,
    ReleaseLock,
    require_askable,
)
from services.state.domain.page import Page, after_name
from services.state.domain.snapshot import HeldLock, LockInUse
from services.state.domain.view import View
from services.state.handlers.fencing import require_accepted
from services.state.handlers.kept import Kept, KeptAgents
from services.state.handlers.turns import Key, Turns
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from services.state.ports import Clock

LONGEST_WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agent stands after a command: what the one who runs it has to know next."""

    errors: ErrorCounts
    lock: Lock | None
    sequence: int


class _AnsweredBefore(LockTaken):
    """An old request asked again: what it got has long been taken by another, and waiting brings nothing."""


class Locks:
    """Everything that is decided under a lock, by the log's own aggregates."""

    def __init__(
        self, kept: Kept, view: View, turns: Turns, working: Working, writing: Writing, clock: Clock
    ) -> None:
        self._working = working
        self._writing = writing
        self._agents = kept.agents
        self._view = view
        self._turns = turns
        self._clock = clock

    async def acquire(self, command: AcquireLock, wait_seconds: int, cause: Cause) -> Standing:
        """The lock as it is now held; with `wait_seconds`, behind everybody who asked before.

        Raises:
            LockTaken: also after `wait_seconds`.
            LockPromised, TooManyWait, NoInstructionPacket, AgentIsRevoked, Invalid.
            Unavailable: this process stops; another may be asked.
        """
        if not 0 <= wait_seconds <= LONGEST_WAIT_SECONDS:
            raise FieldInvalid("wait_seconds", f"must be 0 to {LONGEST_WAIT_SECONDS}")
        require_askable(command)
        key = (cause.tenant, command.agent_id)
        promised = len(self._turns.holders(key))
        if not promised or self._has(command, cause):
            try:
                return await self._acquire(command, cause)
            except _AnsweredBefore:
                raise
            except LockTaken:
                if not wait_seconds:
                    raise
        elif not wait_seconds:
            raise LockPromised(command.agent_id, promised)
        packet = self._agents.current(*key).packet
        if packet is None or packet.task_id != command.task_id:
            raise NoInstructionPacket(command.agent_id, command.task_id)
        return await self._in_turn(key, command, wait_seconds, cause)

    async def advance(self, command: Advance, cause: Cause) -> Standing:
        """Raises FencingTokenStale (recorded), AgentIsRevoked, Invalid, Unavailable."""
        with self._writing.by(cause.tenant, command.agent_id):
            lock = self._agents.current(cause.tenant, command.agent_id).lock
            if lock is not None and not lock.alive(cause.at):
                # Whoever takes up an agent goes on under its packet as it is by now.
                await self._working.stick_packet(command.agent_id, cause)
            asked = (command.task_id, command.run_id, command.phase, command.step, str(command.fencing_token))
            return await under_token(self._agents, command, cause.about(*asked))

    async def release(self, command: ReleaseLock, cause: Cause) -> Standing:
        """Raises FencingTokenStale (recorded), Invalid."""
        with self._writing.changing(cause.tenant, command.agent_id) as guard:
            asked = cause.about(str(command.fencing_token))
            standing = await under_token(self._agents, command, asked, guard)
        self._turns.changed((cause.tenant, command.agent_id))
        return standing

    async def force(self, command: ForceReleaseLock, cause: Cause) -> Appended:
        """Raises LockNotHeld, Invalid."""
        with self._writing.changing(cause.tenant, command.agent_id) as guard:
            asked = cause.about(command.reason)
            appended = await self._agents.handle(command.agent_id, command, asked, guard)
        self._turns.changed((cause.tenant, command.agent_id))
        return appended

    def list(self, task_id: str, page_size: int, page_token: str, cause: Cause) -> Page[LockInUse]:
        """By agent: the locks that are held, of one task or of all, and who waits for each in this process.

        Raises Invalid.
        """
        if task_id:
            require_token(task_id, "task_id")
        held = [
            (agent_id, agent.lock)
            for agent_id, agent in self._agents.all(cause.tenant)
            if agent.lock is not None
            and agent.lock.alive(cause.at)
            and (not task_id or agent.lock.task_id == task_id)
        ]
        held.sort(key=_agent_of)
        page = after_name("locks", held, _agent_of, page_size, page_token)
        found = [
            LockInUse(
                agent_id,
                lock.task_id,
                HeldLock(lock.holder, lock.fencing_token, lock.expire_time),
                self._turns.holders((cause.tenant, agent_id)),
            )
            for agent_id, lock in page.items
        ]
        return Page(tuple(found), page.next_page_token)

    async def _in_turn(self, key: Key, command: AcquireLock, wait_seconds: int, cause: Cause) -> Standing:
        until = self._clock.monotonic() + wait_seconds
        with self._turns.joined(key, command.holder) as turn:
            while True:
                news, at, lock = turn.news, self._clock.now(), self._agents.current(*key).lock
                free = lock is None or not lock.alive(at)
                left = until - self._clock.monotonic()
                if (turn.first and free) or self._has(command, replace(cause, at=at)):
                    try:
                        return await self._acquire(replace(command, at=at), replace(cause, at=at))
                    except _AnsweredBefore:
                        raise
                    except LockTaken:
                        continue  # another process was quicker: see who has it now
                if left <= 0:
                    raise LockTaken(command.agent_id, *_whose(lock, turn.first, at, self._turns.holders(key)))
                if turn.first and lock is not None:
                    left = min(left, (lock.expire_time - at).total_seconds())
                await self._turns.wait(news, left)

    async def _acquire(self, command: AcquireLock, cause: Cause) -> Standing:
        revoked = self._view.is_revoked(cause.tenant, command.agent_id)
        with self._writing.changing(cause.tenant, command.agent_id) as guard:
            command, asked = replace(command, revoked=revoked), cause.about(command.task_id, command.holder)
            appended = await self._agents.handle(command.agent_id, command, asked, guard)
        standing = _standing(self._agents, command.agent_id, command.holder, appended, cause)
        lock = standing.lock
        assert lock is not None, "an agent whose lock was acquired has one"
        if lock.holder != command.holder or (appended.event_ids and lock.fencing_token != appended.sequence):
            raise _AnsweredBefore(command.agent_id, lock.holder, lock.expire_time)
        await self._working.stick_packet(command.agent_id, cause)
        return standing

    def _has(self, command: AcquireLock, cause: Cause) -> bool:
        """Whether the one who asks holds the lock already."""
        lock = self._agents.current(cause.tenant, command.agent_id).lock
        mine = lock is not None and (lock.holder, lock.task_id) == (command.holder, command.task_id)
        return mine and lock is not None and lock.alive(cause.at)


async def under_token(
    agents: KeptAgents, command: Advance | ReleaseLock | RecordError, cause: Cause, guard: Guard | None = None
) -> Standing:
    """Where the agent stands after `command`. Raises FencingTokenStale (recorded), AgentIsRevoked, Invalid."""
    appended = await agents.handle(command.agent_id, command, cause, guard)
    require_accepted(agents, command.agent_id, command.fencing_token, appended, cause)
    run_id = command.holder if isinstance(command, ReleaseLock) else command.run_id
    return _standing(agents, command.agent_id, run_id, appended, cause)


def _standing(agents: KeptAgents, agent_id: str, run_id: str, appended: Appended, cause: Cause) -> Standing:
    agent = agents.current(cause.tenant, agent_id)
    return Standing(agent.spent(run_id), agent.lock, appended.sequence)


def _agent_of(held: tuple[str, Lock]) -> str:
    return held[0]


def _whose(lock: Lock | None, first: bool, at: datetime, waiting: tuple[str, ...]) -> tuple[str, datetime]:
    """Who has the lock, or is to have it next."""
    if lock is not None and (lock.alive(at) or first):
        return lock.holder, lock.expire_time
    return waiting[0], at
