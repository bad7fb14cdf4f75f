"""A tenant's budgets: what its limits are by hand, what is spent and set aside of all of them, and for whom.

One aggregate, so that what is allowed and what is set aside for it are one fact. Limits of the policy set come with
what is asked. Time only goes forward here: a window is that of the latest moment that was ever told, so a clock that
was wrong can end a window early and never open one again. How far it may be wrong is looked at before anything is
written; where that was not done, limits that an admin sets bring time back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import assert_never

from kernel.decider import Decider
from kernel.faults import Fault
from services.policy.domain.amounts import NOTHING
from services.policy.domain.closing import Close, Closed, ClosedOnes, Closing, ReservationsClosed, closing_of
from services.policy.domain.counters import Key, Tally
from services.policy.domain.decision import DecisionsMade
from services.policy.domain.drawing import HandSet, window_of
from services.policy.domain.limits import BudgetSet, limits_of
from services.policy.domain.reservation import BudgetScope, Charge, Reservation
from services.policy.domain.shelves import Counters

MAX_LIVE = 20_000
MAX_FLEETING = 65_536
"""Counters of runs and tasks; those of agents and the tenant are as many as there are agents, times budgets."""
SKEW = timedelta(minutes=5)
"""How far a clock may be from the log's, and what was told from what is."""
_ENDED = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COME_AND_GO = frozenset({BudgetScope.RUN, BudgetScope.TASK})
_LASTING, _FLEETING, _NONE_CLOSED = Counters(None), Counters(MAX_FLEETING), ClosedOnes()


@dataclass(frozen=True, slots=True)
class BudgetReserved:
    """Those that came together."""

    reservations: tuple[Reservation, ...]


Event = BudgetSet | BudgetReserved | ReservationsClosed | DecisionsMade


@dataclass(frozen=True, slots=True)
class Budgets:
    """What is known of a tenant's budgets."""

    latest: datetime = _EPOCH
    hand: Mapping[tuple[BudgetScope, str], HandSet] = field(default_factory=lambda: MappingProxyType({}))
    lasting: Counters = _LASTING
    fleeting: Counters = _FLEETING
    live: Mapping[str, Reservation] = field(default_factory=lambda: MappingProxyType({}))
    closed: ClosedOnes = _NONE_CLOSED

    def counters(self, scope: BudgetScope) -> Counters:
        return self.fleeting if scope in COME_AND_GO else self.lasting

    def expired(self, at: datetime) -> tuple[Reservation, ...]:
        """What should have been settled before `at`."""
        return tuple(each for each in self.live.values() if each.expire_time < at)

    def of_agent(self, agent_id: str) -> tuple[Reservation, ...]:
        """What is set aside for an agent."""
        return tuple(each for each in self.live.values() if each.agent_id == agent_id)

    def known(self, reservation_id: str) -> Reservation | None:
        """What was set aside under this id, also when it was charged meanwhile; None when it was given back."""
        live = self.live.get(reservation_id)
        if live is not None:
            return live
        closed = self.closed.get(reservation_id)
        return closed.reservation if closed is not None and closed.closing.charged != NOTHING else None


# Close, and set by hand


def close(budgets: Budgets, closes: Sequence[Close]) -> tuple[Closing | Fault, ...]:
    """How each of `closes` ends, or why it does not. What has ended so already ends as it has."""
    ended: dict[str, Closed] = {}
    made: list[Closing | Fault] = []
    for each in closes:
        key = each.reservation_id
        live = budgets.live.get(key) if key not in ended else None
        outcome = closing_of(live, ended.get(key) or budgets.closed.get(key), each)
        if live is not None and isinstance(outcome, Closing):
            ended[key] = Closed(live, outcome)
        made.append(outcome)
    return tuple(made)


def ended_among(budgets: Budgets, outcomes: Iterable[Closing | Fault]) -> tuple[Closing, ...]:
    """What has still to be written down."""
    made: dict[str, Closing] = {}
    for each in outcomes:
        if isinstance(each, Closing) and each.reservation_id in budgets.live:
            made.setdefault(each.reservation_id, each)
    return tuple(made.values())


def set_by_hand(budgets: Budgets, wanted: BudgetSet) -> BudgetSet | None:
    """What `wanted` changes; nothing when it is so already. Its limits have been checked: see `limits`."""
    known = budgets.hand.get((wanted.scope, wanted.scope_id))
    if _too_far(budgets, wanted.at):
        return wanted  # what it changes is the time
    if not wanted.limits and known is None:
        return None
    if known is not None and (known.limits, known.window_seconds) == (
        limits_of(wanted.limits),
        wanted.window_seconds,
    ):
        return None
    return wanted


# Evolve


def evolve(budgets: Budgets, event: Event) -> Budgets:
    match event:
        case BudgetSet(scope, scope_id, limits, window_seconds, _, _, at):
            hand = dict(budgets.hand)
            hand.pop((scope, scope_id), None)
            if limits:
                hand[scope, scope_id] = HandSet(limits_of(limits), window_seconds)
            if _too_far(budgets, at):
                budgets = _brought_back(budgets, at)
            return replace(budgets, hand=hand, latest=max(budgets.latest, at))
        case BudgetReserved(reservations) | DecisionsMade(reservations=reservations):
            return _reserved(budgets, reservations) if reservations else budgets
        case ReservationsClosed(closings):
            return _closed(budgets, closings)
        case _:
            assert_never(event)


def _reserved(budgets: Budgets, reservations: tuple[Reservation, ...]) -> Budgets:
    tallies: dict[Key, Tally] = {}
    for each in reservations:
        for charge in each.charges:
            tally = _tally(budgets, tallies, charge, each.agent_id)
            if tally.window == charge.window:
                tally.reserve(each.amounts)
    live = {**budgets.live, **{each.reservation_id: each for each in reservations}}
    latest = max(budgets.latest, *(each.at for each in reservations))
    return _counted(replace(budgets, live=live), tallies, latest)


def _closed(budgets: Budgets, closings: tuple[Closing, ...]) -> Budgets:
    tallies: dict[Key, Tally] = {}
    live, latest = dict(budgets.live), budgets.latest
    ended: dict[str, Closed] = {}
    for closing in closings:
        latest = max(latest, closing.at)
        reservation = live.pop(closing.reservation_id, None)
        if reservation is None:
            continue
        ended[closing.reservation_id] = Closed(reservation, closing)
        for charge in reservation.charges:
            key = _key(charge, reservation.agent_id)
            counter = budgets.counters(charge.scope).get(key)
            if counter is None or counter.window != charge.window:
                continue  # of a window that has ended nobody asks any more
            tallies.setdefault(key, Tally(counter)).close(reservation.amounts, closing.charged)
    closed = budgets.closed.with_some(ended)
    return _counted(replace(budgets, live=live, closed=closed), tallies, latest)


def _key(charge: Charge, agent_id: str) -> Key:
    return Key.of(charge.budget_id, charge.scope, charge.scope_id, charge.window_seconds, agent_id)


def _tally(budgets: Budgets, tallies: dict[Key, Tally], charge: Charge, agent_id: str) -> Tally:
    key = _key(charge, agent_id)
    tally = tallies.get(key)
    if tally is None or tally.window < charge.window:
        tally = tallies[key] = budgets.counters(charge.scope).tally(key, charge.window)
    return tally


def _counted(budgets: Budgets, tallies: Mapping[Key, Tally], latest: datetime) -> Budgets:
    seconds = int(latest.timestamp())
    fleeting = {key: tally for key, tally in tallies.items() if key.scope in COME_AND_GO}
    lasting = {key: tally for key, tally in tallies.items() if key.scope not in COME_AND_GO}
    return replace(
        budgets,
        latest=latest,
        fleeting=budgets.fleeting.changed(fleeting, seconds) if fleeting else budgets.fleeting,
        lasting=budgets.lasting.changed(lasting, seconds) if lasting else budgets.lasting,
    )


def _too_far(budgets: Budgets, at: datetime) -> bool:
    """Whether time here is one that has not come."""
    return budgets.latest > at + SKEW


def _brought_back(budgets: Budgets, at: datetime) -> Budgets:
    seconds = int(at.timestamp())
    return replace(
        budgets,
        latest=at,
        fleeting=budgets.fleeting.brought_back(seconds),
        lasting=budgets.lasting.brought_back(seconds),
        live={key: _begun(budgets, each, at) for key, each in budgets.live.items()},
    )


def _begun(budgets: Budgets, live: Reservation, at: datetime) -> Reservation:
    """What is set aside, where it counts once its counters are brought back, and until when: as if it were made now."""
    charges = []
    for each in live.charges:
        counter = budgets.counters(each.scope).get(_key(each, live.agent_id))
        counts = counter is not None and counter.window == each.window
        now = window_of(at, each.window_seconds)
        charges.append(replace(each, window=min(each.window, now) if counts else _ENDED))
    made = min(live.at, at)
    return replace(live, charges=tuple(charges), at=made, expire_time=made + (live.expire_time - live.at))


Command = Callable[[Budgets], Event | None]
"""What to decide on the budgets as they are: several callers' wants are one command, and each is told its own."""

BUDGET: Decider[Command, Budgets, Event] = Decider(
    "policy", "budget", Budgets(), lambda budgets, command: command(budgets), evolve
)
