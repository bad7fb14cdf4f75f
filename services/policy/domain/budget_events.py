"""What becomes of those who draw on budgets together, or close what they drew: one event, and an answer for each.

What several callers ask comes in groups, one for each caller, and is answered so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kernel.faults import Fault
from services.policy.domain.budget import BudgetReserved, Budgets, Event, close, ended_among
from services.policy.domain.closing import Close, Closing, ReservationsClosed
from services.policy.domain.decision import DecisionRecord, DecisionsMade
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.reservation import Reservation
from services.policy.domain.reserving import NoRoom, Outcome, new_among, reserve

Answer = TypeVar("Answer")
Answers = Sequence[Sequence[Answer] | Fault]


@dataclass(frozen=True, slots=True)
class Want:
    """A decision that may draw on budgets; `refused` makes the DENY that is recorded when one of them refuses."""

    record: DecisionRecord
    draw: Draw | None
    refused: Callable[[BudgetRefusal], DecisionRecord]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is on record now: the decision that was wanted, with what was set aside for it, or the DENY instead.

    `new`: it was set aside for this want. What was there before may have been given out to somebody with its ALLOW.
    """

    record: DecisionRecord
    reservation: Reservation | None
    refusal: BudgetRefusal | None
    new: bool = False


def decided(groups: Sequence[Sequence[Want]], budgets: Budgets) -> tuple[Event | None, Answers[Drawn]]:
    outcomes = reserve(budgets, [[want.draw for want in group] for group in groups])
    answers: list[Sequence[Drawn] | Fault] = []
    written = {}
    new = {each.reservation_id: each for each in new_among(budgets, _flat(outcomes))}
    for group, of_group in zip(groups, outcomes, strict=True):
        if isinstance(of_group, NoRoom):
            answers.append(of_group)
            continue
        drawn = [_drawn(want, outcome, new) for want, outcome in zip(group, of_group, strict=True)]
        for one in drawn:
            # What was set aside before is on record with the decision it was set aside for.
            if one.reservation is None or one.new:
                written[one.record.decision_id] = one.record
        answers.append(drawn)
    event = DecisionsMade(tuple(written.values()), tuple(new.values())) if written else None
    return event, answers


def _drawn(want: Want, outcome: Outcome, new: Mapping[str, Reservation]) -> Drawn:
    if isinstance(outcome, BudgetRefusal):
        return Drawn(want.refused(outcome), None, outcome)
    return Drawn(want.record, outcome, None, outcome is not None and outcome.reservation_id in new)


def reserved(groups: Sequence[Sequence[Draw]], budgets: Budgets) -> tuple[Event | None, Answers[Outcome]]:
    outcomes = reserve(budgets, groups)
    new = new_among(budgets, _flat(outcomes))
    return (BudgetReserved(new) if new else None), outcomes


def _flat(outcomes: Sequence[tuple[Outcome, ...] | NoRoom]) -> list[Outcome]:
    return [one for each in outcomes if isinstance(each, tuple) for one in each]


def closed(
    groups: Sequence[Sequence[Close]], budgets: Budgets
) -> tuple[Event | None, Answers[Closing | Fault]]:
    outcomes = close(budgets, [one for group in groups for one in group])
    ended = ended_among(budgets, outcomes)
    rest = iter(outcomes)
    answers = [[next(rest) for _ in group] for group in groups]
    return (ReservationsClosed(ended) if ended else None), answers


def is_no(answer: Sequence[object] | Fault) -> bool:
    """Whether anything in it was refused."""
    return isinstance(answer, Fault) or any(isinstance(each, Fault | BudgetRefusal) for each in answer)
