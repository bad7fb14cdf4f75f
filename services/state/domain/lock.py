"""The lock of an agent: one holder, a lease, and a fencing token.

The token is the log's own sequence of `LockAcquired` (Kleppmann, "How to do distributed locking"), so it never goes
back, whatever happens to the store. Whoever writes under a lock shows it; only the newest one opens.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.events import require_token
from services.state.domain.bounds import require_agent_id, require_name, require_seconds, require_text
from services.state.domain.faults import FieldInvalid, LockNotHeld, LockTaken

MAX_REASON_CHARACTERS = 500

# wants


@dataclass(frozen=True, slots=True)
class AcquireLock:
    agent_id: str
    task_id: str
    holder: str
    lease_seconds: int
    at: datetime
    revoked: bool = False
    """Whether policy had revoked the agent when this was asked."""


@dataclass(frozen=True, slots=True)
class Advance:
    agent_id: str
    task_id: str
    run_id: str
    phase: str
    step: str
    fencing_token: int
    lease_seconds: int
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    agent_id: str
    task_id: str
    holder: str
    fencing_token: int
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ForceReleaseLock:
    """A person takes the lock away."""

    agent_id: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ShowToken:
    """Something else of the agent's is about to be written under its lock."""

    agent_id: str
    task_id: str
    fencing_token: int
    by: str
    at: datetime
    run_id: str = ""
    """Which run says that it writes, if it says so."""


# facts


@dataclass(frozen=True, slots=True)
class LockAcquired:
    agent_id: str
    task_id: str
    holder: str
    at: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class AgentAdvanced:
    agent_id: str
    task_id: str
    run_id: str
    phase: str
    step: str
    fencing_token: int
    at: datetime
    lock_expire_time: datetime


@dataclass(frozen=True, slots=True)
class LockReleased:
    agent_id: str
    task_id: str
    holder: str
    fencing_token: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LockForced:
    agent_id: str
    task_id: str
    holder: str
    fencing_token: int
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StaleTokenRefused:
    agent_id: str
    presented_token: int
    current_token: int
    by: str
    at: datetime


# state


@dataclass(frozen=True, slots=True)
class Lock:
    """The newest lock of an agent; it is kept after its release, so that its token is known to be spent."""

    holder: str
    task_id: str
    fencing_token: int
    expire_time: datetime
    released: bool = False
    forced: bool = False
    """Taken away: unlike one that was given back, its token is refused from then on whatever it is shown for."""

    def alive(self, at: datetime) -> bool:
        return not self.released and at < self.expire_time

    def renewed(self, expire_time: datetime) -> "Lock":
        return Lock(self.holder, self.task_id, self.fencing_token, expire_time, self.released, self.forced)


# decide


def acquire(lock: Lock | None, command: AcquireLock) -> LockAcquired | None:
    """The lock taken; `None` when the holder itself asks again while its lease runs.

    Raises:
        Invalid: a field is out of bounds.
        LockTaken: another holds it, and its lease runs.
    """
    require_askable(command)
    if lock is not None and lock.alive(command.at):
        if (lock.holder, lock.task_id) == (command.holder, command.task_id):
            return None
        raise LockTaken(command.agent_id, lock.holder, lock.expire_time)
    expire_time = command.at + timedelta(seconds=command.lease_seconds)
    return LockAcquired(command.agent_id, command.task_id, command.holder, command.at, expire_time)


def require_askable(command: AcquireLock) -> None:
    """Raises Invalid when a field is out of bounds."""
    require_agent_id(command.agent_id)
    require_token(command.task_id, "task_id")
    require_token(command.holder, "holder")
    require_seconds(command.lease_seconds, "lease_seconds")


def advance(lock: Lock | None, packet_task_id: str, command: Advance) -> AgentAdvanced | StaleTokenRefused:
    """The agent moved on and the lease renewed, or the refusal of a token that is not the newest.

    A lease that has run out may be renewed as long as nobody has taken the lock since, and the agent's packet is still
    for its task: under another task's nobody goes on, and whoever acquires the lock anew needs its own.

    Raises:
        Invalid: a field is out of bounds, or the lock was taken for another task, or by another run.
    """
    require_agent_id(command.agent_id)
    require_token(command.run_id, "run_id")
    require_name(command.phase, "phase")
    if command.step:
        require_name(command.step, "step")
    require_seconds(command.lease_seconds, "lease_seconds")
    if lock is None or lock.released or not _opens(lock, command.fencing_token):
        return _refusal(lock, command)
    if command.task_id != lock.task_id:
        raise FieldInvalid("task_id", f"must be the task the lock was taken for, {lock.task_id}")
    require_own_run(lock, command.run_id)
    if packet_task_id != lock.task_id:
        return _refusal(lock, command)
    return AgentAdvanced(
        command.agent_id,
        command.task_id,
        command.run_id,
        command.phase,
        command.step,
        command.fencing_token,
        command.at,
        command.at + timedelta(seconds=command.lease_seconds),
    )


def release(lock: Lock | None, command: ReleaseLock) -> LockReleased | StaleTokenRefused | None:
    """The lock given back, `None` when it had been, or the refusal of a token that is not the newest.

    Raises:
        Invalid: a field is out of bounds, or the lock was taken for another task, or by another run. Neither need be
            said.
    """
    require_agent_id(command.agent_id)
    if lock is None or lock.forced or not _opens(lock, command.fencing_token):
        return _refusal(lock, command)
    if command.task_id not in ("", lock.task_id):
        raise FieldInvalid("task_id", f"must be the task the lock was taken for, {lock.task_id}")
    require_own_run(lock, command.holder, "holder")
    if lock.released:
        return None
    return LockReleased(command.agent_id, lock.task_id, lock.holder, lock.fencing_token, command.at)


def force(lock: Lock | None, command: ForceReleaseLock) -> LockForced:
    """The lock taken away; also one whose lease has run out, for its token would still renew it.

    Raises:
        Invalid: no reason is given, or it is too long.
        LockNotHeld: there is nothing to take away.
    """
    require_agent_id(command.agent_id)
    if not command.reason.strip():
        raise FieldInvalid("reason", "is required: say why the lock is taken away")
    require_text(command.reason, "reason", MAX_REASON_CHARACTERS)
    if lock is None or lock.released:
        raise LockNotHeld(command.agent_id)
    return LockForced(
        command.agent_id,
        lock.task_id,
        lock.holder,
        lock.fencing_token,
        command.reason,
        command.by,
        command.at,
    )


def show(lock: Lock | None, command: ShowToken) -> StaleTokenRefused | None:
    """`None` when the token is the newest and its lock has not been given back, else its refusal.

    Raises:
        Invalid: a field is out of bounds, or the lock was taken for another task, or by another run: what is written
            bears what the run has read, and its checkpoints drive out older ones of that run.
    """
    require_agent_id(command.agent_id)
    if lock is None or lock.released or not _opens(lock, command.fencing_token):
        return _refusal(lock, command)
    if command.task_id != lock.task_id:
        raise FieldInvalid("task_id", f"must be the task the lock was taken for, {lock.task_id}")
    require_own_run(lock, command.run_id)
    return None


def require_own_run(lock: Lock, run_id: str, field: str = "run_id") -> None:
    """Raises Invalid when who shows the token of `lock` says that it is another run than the one it was given to."""
    if run_id not in ("", lock.holder):
        raise FieldInvalid(field, f"must be the run that the token was given to, {lock.holder}")


def _opens(lock: Lock, token: int) -> bool:
    # 0 stands for "no token" in a message, and for a lock whose place in the log is not known.
    return token > 0 and lock.fencing_token == token


def _refusal(lock: Lock | None, command: Advance | ReleaseLock | ShowToken) -> StaleTokenRefused:
    current = lock.fencing_token if lock is not None else 0
    return StaleTokenRefused(command.agent_id, command.fencing_token, current, command.by, command.at)
