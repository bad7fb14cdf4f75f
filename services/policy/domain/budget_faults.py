"""Why budgets refuse: what is asked of them cannot be, is spent, or is not the caller's to end."""

from collections.abc import Mapping

from kernel.faults import Denied, Exhausted, Invalid, NotFound, Refused, Unavailable


class AmountInvalid(Invalid):
    def __init__(self, field: str, must: str) -> None:
        super().__init__("AMOUNT_INVALID", f"{field} {must}", field=field)


class BudgetIsSpent(Exhausted):
    """`facts` say which budget, what it allows, and what is left of it."""

    def __init__(self, text: str, facts: Mapping[str, str]) -> None:
        super().__init__("BUDGET_SPENT", text, **facts)


class ReservationUnknown(NotFound):
    def __init__(self, reservation_id: str) -> None:
        text = f"there is no reservation {reservation_id!r} of this agent, or it was closed long ago: reserve anew"
        super().__init__("RESERVATION_UNKNOWN", text, reservation_id=reservation_id)


class ReservationClosed(Refused):
    def __init__(self, reservation_id: str, end: str) -> None:
        text = f"reservation {reservation_id} was {end.lower()} already, and otherwise: nothing is left to settle"
        super().__init__("RESERVATION_CLOSED", text, reservation_id=reservation_id, end=end)


class TooManyReservations(Exhausted):
    """Of the tenant, or, with `agent_id`, of that agent."""

    def __init__(self, most: int, agent_id: str = "") -> None:
        whose = f" of agent {agent_id!r}" if agent_id else ""
        text = f"{most} reservations{whose} wait to be settled: settle some, or wait until they expire"
        super().__init__("TOO_MANY_RESERVATIONS", text, most=str(most))


class TooManyCounters(Exhausted):
    """Of runs and tasks with something spent, or, with `agent_id`, of runs of that agent."""

    def __init__(self, agent_id: str = "") -> None:
        whose = f"runs of agent {agent_id!r}" if agent_id else "runs and tasks"
        text = (
            f"too many {whose} have spent something of their budgets, and none of that is forgotten to make room: "
            "wait until windows end or old ones have been idle (runs 7 days, tasks 30), and give such budgets a window"
        )
        super().__init__("TOO_MANY_COUNTERS", text, agent_id=agent_id)


class ClockWrong(Unavailable):
    """This replica's clock is not the log's: what it would count would be counted in the wrong window."""

    def __init__(self, ahead_seconds: float) -> None:
        where = "ahead of" if ahead_seconds > 0 else "behind"
        text = (
            f"the clock of this replica of policy is {abs(ahead_seconds):.0f} seconds {where} the event log's: "
            "it counts nothing in budgets until that is set right"
        )
        super().__init__("CLOCK_WRONG", text, ahead_seconds=f"{ahead_seconds:.0f}")


class NoPacketForTask(Refused):
    """An agent reserves for a task that it was not given."""

    def __init__(self, agent_id: str, task_id: str) -> None:
        text = (
            f"agent {agent_id!r} has no instruction packet for {task_id!r}, so it reserves nothing for that: "
            "a run gives it one (provost run AGENT TASK ...)"
        )
        super().__init__("NO_PACKET", text, agent_id=agent_id, task_id=task_id)


class NotTheAgentsToSettle(Denied):
    """An agent would end what a decision, or a service, has set aside."""

    def __init__(self, reservation_id: str) -> None:
        text = (
            f"reservation {reservation_id} was not asked for by the agent itself: the service that carries the action "
            "out settles it, and what nobody settles counts whole"
        )
        super().__init__("CALLER_NOT_ALLOWED", text, reservation_id=reservation_id)
