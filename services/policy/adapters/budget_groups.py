"""What becomes of those who draw on budgets together, or close what they drew: one event, and an answer for each."""

from collections.abc import Sequence

from kernel.faults import Fault
from services.policy.adapters.grouping import Answer, Waiting
from services.policy.domain.budget import BudgetReserved, Budgets, Event, close, ended_among
from services.policy.domain.closing import Close, Closing, ReservationsClosed
from services.policy.domain.decision import DecisionsMade
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.reserving import NoRoom, Outcome, new_among, reserve
from services.policy.ports.recording import Drawn, Want

Answered = tuple[Sequence[Answer], int]
"""An answer to each that was asked, and the sequence of the event."""
Answers = Sequence[Sequence[Answer] | Fault]


def decided(
    group: Sequence[Waiting[Want, Answered[Drawn]]], budgets: Budgets
) -> tuple[Event | None, Answers[Drawn]]:
    outcomes = reserve(budgets, [[want.draw for want in each.asked] for each in group])
    answers: list[Sequence[Drawn] | Fault] = []
    written = {}
    new = {each.reservation_id: each for each in new_among(budgets, _flat(outcomes))}
    for each, of_each in zip(group, outcomes, strict=True):
        if isinstance(of_each, NoRoom):
            answers.append(of_each)
            continue
        drawn = [_drawn(want, outcome) for want, outcome in zip(each.asked, of_each, strict=True)]
        for one in drawn:
            # What was set aside before is on record with the decision it was set aside for.
            if one.reservation is None or one.reservation.reservation_id in new:
                written[one.record.decision_id] = one.record
        answers.append(drawn)
    event = DecisionsMade(tuple(written.values()), tuple(new.values())) if written else None
    return event, answers


def _drawn(want: Want, outcome: Outcome) -> Drawn:
    if isinstance(outcome, BudgetRefusal):
        return Drawn(want.refused(outcome), None, outcome)
    return Drawn(want.record, outcome, None)


def reserved(
    group: Sequence[Waiting[Draw, Answered[Outcome]]], budgets: Budgets
) -> tuple[Event | None, Answers[Outcome]]:
    outcomes = reserve(budgets, [each.asked for each in group])
    new = new_among(budgets, _flat(outcomes))
    return (BudgetReserved(new) if new else None), outcomes


def _flat(outcomes: Sequence[tuple[Outcome, ...] | NoRoom]) -> list[Outcome]:
    return [one for each in outcomes if isinstance(each, tuple) for one in each]


def closed(
    group: Sequence[Waiting[Close, Answered[Closing | Fault]]], budgets: Budgets
) -> tuple[Event | None, Answers[Closing | Fault]]:
    outcomes = close(budgets, [one for each in group for one in each.asked])
    ended = ended_among(budgets, outcomes)
    rest = iter(outcomes)
    answers = [[next(rest) for _ in each.asked] for each in group]
    return (ReservationsClosed(ended) if ended else None), answers


def is_no(answer: Sequence[object] | Fault) -> bool:
    """Whether anything in it was refused."""
    return isinstance(answer, Fault) or any(isinstance(each, Fault | BudgetRefusal) for each in answer)
