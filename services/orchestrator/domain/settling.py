"""What a run owes the budgets: what was set aside for its actions, and what came of each."""

from dataclasses import dataclass

from services.orchestrator.domain.lifecycle import effect_id
from services.orchestrator.domain.records import EffectState
from services.orchestrator.domain.run import Run

_NOTHING_DONE = frozenset({EffectState.REFUSED, EffectState.PREVIEWED})


@dataclass(frozen=True, slots=True)
class Settlement:
    """All that was reserved was spent, or nothing of it."""

    reservation_id: str
    spent: bool


def settlements(run: Run) -> tuple[Settlement, ...]:
    """One for each reservation: spent when the action was carried out, or may have been."""
    return tuple(
        Settlement(decision.reservation_id, _acted(run, action_id))
        for action_id, decision in run.decisions.items()
        if decision.reservation_id
    )


def idle(run: Run, unbegun: str = "") -> frozenset[str]:
    """The reservations for actions that are still to come, or were refused: nobody needs them while the run waits.

    `unbegun` is an action that was intended, and of which it turned out that it did not begin.
    """
    return frozenset(
        decision.reservation_id
        for action_id, decision in run.decisions.items()
        if decision.reservation_id and (action_id == unbegun or not _acted(run, action_id))
    )


def _acted(run: Run, action_id: str) -> bool:
    effect = run.effects.get(effect_id(run, action_id))
    if effect is not None:
        return effect.state not in _NOTHING_DONE
    return effect_id(run, action_id) in run.intents
