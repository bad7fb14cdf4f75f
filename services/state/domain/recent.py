"""Which tasks there are, the last changed last: each event moves its task to the end."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from services.state.domain.page import number_of


class Touched(NamedTuple):
    """When a task was last changed, and where in the log."""

    sequence: int
    at: datetime


class Recent:
    """The tasks of all tenants."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, Touched]] = {}

    def __copy__(self) -> "Recent":
        other = Recent()
        other._tasks = {tenant: dict(tasks) for tenant, tasks in self._tasks.items()}
        return other

    def touch(self, tenant: str, task_id: str, sequence: int, at: datetime) -> None:
        """`task_id` has changed; events are told in the order of the log."""
        of_tenant = self._tasks.get(tenant)
        if of_tenant is None:
            of_tenant = self._tasks[tenant] = {}
        else:
            of_tenant.pop(task_id, None)
        of_tenant[task_id] = Touched(sequence, at)

    def touched(self, tenant: str, task_id: str) -> Touched | None:
        """`None` when nothing is known of the task."""
        return self._tasks.get(tenant, {}).get(task_id)

    def newest(self, tenant: str, page_token: str) -> Iterator[tuple[str, Touched]]:
        """The tasks of a tenant, last changed first, from behind `page_token` on: the sequence of the one before.

        Raises:
            Invalid: not a page token.
        """
        before = number_of(page_token)
        return (
            (task_id, touched)
            for task_id, touched in reversed(self._tasks.get(tenant, {}).items())
            if before is None or touched.sequence < before
        )
