"""Who may still speak for an agent: what a run says that has lost the lock to another is not the agent's any more."""

from datetime import datetime

from services.state.domain.faults import FieldInvalid
from services.state.domain.lock import Lock, StaleTokenRefused, require_own_run


def unheard(
    lock: Lock | None, agent_id: str, task_id: str, run_id: str, fencing_token: int, by: str, at: datetime
) -> StaleTokenRefused | None:
    """The refusal of a report, or an error, by a run that another has followed; `None` when it counts.

    A token decides when there is one, as in `_overtaken`. Without one it is the run that holds the lock, until it gives
    it back: one whose lease is over is still watched. While nobody holds it, anybody may report.

    Raises:
        Invalid: the lock was taken for another task, or the token was given to another run.
    """
    if fencing_token:
        refused = _overtaken(lock, agent_id, fencing_token, by, at)
    elif lock is None or lock.released or lock.holder == run_id:
        refused = None
    else:
        refused = StaleTokenRefused(agent_id, 0, lock.fencing_token, by, at)
    if refused is not None or lock is None:
        return refused
    if (fencing_token or not lock.released) and task_id not in ("", lock.task_id):
        raise FieldInvalid("task_id", f"must be the task the lock was taken for, {lock.task_id}")
    if fencing_token:
        require_own_run(lock, run_id)
    return None


def _overtaken(
    lock: Lock | None, agent_id: str, fencing_token: int, by: str, at: datetime
) -> StaleTokenRefused | None:
    """The refusal of a token that another has followed, or that was taken away.

    One that was given back is good for what is said afterwards: what the run now waits for, and what went wrong.
    """
    current = lock.fencing_token if lock is not None else 0
    if lock is not None and not lock.forced and current == fencing_token:
        return None
    return StaleTokenRefused(agent_id, fencing_token, current, by, at)
