"""Setting amounts aside in every budget they count against, all or nothing, or saying which one refuses."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.policy.domain.amounts import Unit
from services.policy.domain.budget import COME_AND_GO, MAX_LIVE, Budgets
from services.policy.domain.budget_faults import TooManyCounters, TooManyReservations
from services.policy.domain.counters import Key, Tally
from services.policy.domain.drawing import Applied, BudgetRefusal, Draw, applied, window_of
from services.policy.domain.reservation import Charge, Reservation
from services.policy.domain.room import Room

SHARE = 4
"""One agent may fill no more than a quarter of the room, so that none can keep all others from acting."""

Outcome = Reservation | BudgetRefusal | None
"""What becomes of a draw: set aside, refused, or counted by no budget."""
NoRoom = TooManyReservations | TooManyCounters


def reserve(
    budgets: Budgets, groups: Sequence[Sequence[Draw | None]]
) -> tuple[tuple[Outcome, ...] | NoRoom, ...]:
    """What becomes of each draw, in this order: each in all its budgets or in none, behind those before it.

    A draw that was reserved already gets its reservation as it is, also when that was charged meanwhile; one that was
    given back is reserved anew. Of a group for which there is no room among those that wait to be settled, or among the
    runs and tasks that have spent something, none is.
    """
    draws = [draw for group in groups for draw in group if draw is not None]
    at = max([budgets.latest, *(draw.at for draw in draws)])
    trial, room = _Trial(budgets, at), Room(budgets.fleeting, int(at.timestamp()))
    made: list[tuple[Outcome, ...] | NoRoom] = []
    shares, tight = _Shares(budgets, trial.new), room.tight(len(draws))
    for group in groups:
        new = trial.fleeting(group) if tight else ()
        more = [draw.agent_id for draw in group if draw is not None]
        if len(budgets.live) + len(trial.new) + len(more) > MAX_LIVE:
            made.append(TooManyReservations(MAX_LIVE))
        elif not shares.have_room(more):
            made.append(TooManyReservations(MAX_LIVE // SHARE, more[0]))
        elif (crowded := room.take(new)) is not None:
            made.append(crowded)
        else:
            made.append(tuple(None if draw is None else trial.outcome(draw) for draw in group))
    return tuple(made)


def new_among(budgets: Budgets, outcomes: Iterable[Outcome]) -> tuple[Reservation, ...]:
    """What has still to be written down."""
    made = {each.reservation_id: each for each in outcomes if isinstance(each, Reservation)}
    return tuple(each for key, each in made.items() if budgets.known(key) is None)


def refusal(budgets: Budgets, draw: Draw, errors: Callable[[Applied, int], int]) -> BudgetRefusal | None:
    """Which budget refuses `draw` as things stand; `errors` counts those recorded under one, since a second of 1970."""
    at = max(budgets.latest, draw.at)
    if budgets.known(draw.reservation_id) is not None:
        return None
    for each in applied(budgets.hand, draw):
        window = window_of(at, each.key.window_seconds)
        most = each.limits.get(Unit.ERRORS)
        if most is not None:
            counted = errors(each, window * each.key.window_seconds)
            if counted >= most:
                return BudgetRefusal.of(each, window, Unit.ERRORS, most, counted, 0, 0)
        over = budgets.counters(each.key.scope).tally(each.key, window).over(each.limits, draw.amounts)
        if over is not None:
            return BudgetRefusal.of(each, window, *over)
    return None


class _Shares:
    """What waits to be settled, agent by agent: once half of the room is taken, nobody may have more than its share."""

    def __init__(self, budgets: Budgets, new: Mapping[str, Reservation]) -> None:
        self._live, self._new = budgets.live, new
        self._taken: Counter[str] | None = None

    def have_room(self, more: Sequence[str]) -> bool:
        """Whether there is room for one more of each of these agents; then they are counted."""
        if not more or len(self._live) + len(self._new) + len(more) <= MAX_LIVE // 2:
            return True
        if self._taken is None:
            self._taken = Counter(each.agent_id for each in (*self._live.values(), *self._new.values()))
        wanted = Counter(more)
        if any(self._taken[agent_id] + n > MAX_LIVE // SHARE for agent_id, n in wanted.items()):
            return False
        self._taken.update(wanted)
        return True


class _Trial:
    """Counters while a group of draws is tried on them."""

    def __init__(self, budgets: Budgets, at: datetime) -> None:
        self._budgets = budgets
        self._at = at
        self._tallies: dict[Key, Tally] = {}
        self.new: dict[str, Reservation] = {}

    def fleeting(self, group: Iterable[Draw | None]) -> list[Key]:
        """The counters of runs and tasks that these take."""
        return [
            each.key
            for draw in group
            if draw is not None and self._known(draw) is None
            for each in self._counted(draw)
            if each.key.scope in COME_AND_GO
        ]

    def outcome(self, draw: Draw) -> Outcome:
        known = self._known(draw)
        if known is not None:
            return known
        amounts = draw.amounts
        counted = self._counted(draw)
        if not counted:
            return None
        tallies = [self._tally(each) for each in counted]
        for each, tally in zip(counted, tallies, strict=True):
            over = tally.over(each.limits, amounts)
            if over is not None:
                return BudgetRefusal.of(each, tally.window, *over)
        if not any(Unit.HOSTS in each.limits for each in counted):
            amounts = replace(amounts, hosts=())  # nobody counts them, so nobody keeps them
        for tally in tallies:
            tally.reserve(amounts)
        charges = tuple(
            Charge(
                each.key.budget_id, each.key.scope, each.key.scope_id, tally.window, each.key.window_seconds
            )
            for each, tally in zip(counted, tallies, strict=True)
        )
        made = draw.reservation(amounts, charges)
        self.new[made.reservation_id] = made
        return made

    def _known(self, draw: Draw) -> Reservation | None:
        return self.new.get(draw.reservation_id) or self._budgets.known(draw.reservation_id)

    def _counted(self, draw: Draw) -> list[Applied]:
        return [each for each in applied(self._budgets.hand, draw) if each.counts(draw.amounts)]

    def _tally(self, each: Applied) -> Tally:
        tally = self._tallies.get(each.key)
        if tally is None:
            window = window_of(self._at, each.key.window_seconds)
            tally = self._tallies[each.key] = self._budgets.counters(each.key.scope).tally(each.key, window)
        return tally
