"""The errors that state has recorded, by run, agent, task and tenant, so that budgets can limit them."""

from services.policy.domain.outcomes import ErrorNoted
from services.policy.domain.reservation import BudgetScope

MAX_REMEMBERED = 10_000
MAX_SECONDS = 512


class _Times:
    """When how many came, by the second; of those long ago too late rather than not at all."""

    __slots__ = ("_seconds", "total")

    def __init__(self) -> None:
        self.total = 0
        self._seconds: dict[int, int] = {}

    def add(self, second: int) -> None:
        self.total += 1
        self._seconds[second] = self._seconds.get(second, 0) + 1
        if len(self._seconds) > MAX_SECONDS:
            first, second = sorted(self._seconds)[:2]
            self._seconds[second] += self._seconds.pop(first)

    def since(self, second: int) -> int:
        return self.total if second <= 0 else sum(n for at, n in self._seconds.items() if at >= second)


class ErrorCounts:
    """Of one tenant. Runs and tasks are forgotten when there have been 10,000 others with errors since."""

    def __init__(self) -> None:
        self._times: dict[BudgetScope, dict[str, _Times]] = {scope: {} for scope in BudgetScope}

    def add(self, error: ErrorNoted) -> None:
        second = int(error.at.timestamp())
        for scope, key in (
            (BudgetScope.RUN, error.run_id),
            (BudgetScope.AGENT, error.agent_id),
            (BudgetScope.TASK, error.task_id),
            (BudgetScope.TENANT, ""),
        ):
            if not key and scope is not BudgetScope.TENANT:
                continue
            of_scope = self._times[scope]
            times = of_scope[key] = of_scope.pop(key) if key in of_scope else _Times()
            times.add(second)
            if len(of_scope) > MAX_REMEMBERED and scope in (BudgetScope.RUN, BudgetScope.TASK):
                del of_scope[next(iter(of_scope))]

    def count(self, scope: BudgetScope, scope_id: str, since_seconds: int) -> int:
        """How many since that second of 1970; all of them when it is 0."""
        times = self._times[scope].get(scope_id)
        return 0 if times is None else times.since(since_seconds)
