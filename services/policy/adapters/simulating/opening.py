"""Recorded actions as they were asked: what is sealed in them opened, as long as its key is there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from chassis.sealing import PREFIX, TOKEN, Seal, key_ids, told
from kernel.faults import Refused
from kernel.ports import SubjectKeys
from services.policy.domain.action import Action
from services.policy.domain.flips import FlipCounts, Happened, Then


async def opened(
    happened: Sequence[Happened], tenant: str, keys: SubjectKeys, tally: FlipCounts
) -> list[Happened]:
    """All of it without the decisions that cannot be read any more: they are counted as erased.

    Raises:
        Unavailable: the keys cannot be reached.
    """
    sealed = {
        n: wanted
        for n, each in enumerate(happened)
        if isinstance(each, Then) and (wanted := _sealed_under(each.record.action))
    }
    if not sealed:
        return list(happened)
    key_ids = sorted(set().union(*sealed.values()))
    found = await asyncio.gather(*(_seal(keys, tenant, key_id) for key_id in key_ids))
    seals = {key_id: seal for key_id, seal in zip(key_ids, found, strict=True) if seal is not None}
    readable: list[Happened] = []
    for n, each in enumerate(happened):
        if n in sealed and isinstance(each, Then):
            if not sealed[n] <= seals.keys():
                if each.told:
                    tally.leave_out("erased")
                continue
            readable.append(_opened_then(each, seals))
        else:
            readable.append(each)
    return readable


def _opened_then(then: Then, seals: dict[str, Seal]) -> Then:
    """Its target goes to budgets as policy gives it to them: sealed, and the same where it is the same."""
    kept = TOKEN.fullmatch(then.target)
    then.record.action = _opened(then.record.action, seals)
    return replace(then, target=seals[kept[1]].seal_same(then.record.action.target)) if kept else then


async def _seal(keys: SubjectKeys, tenant: str, key_id: str) -> Seal | None:
    try:
        return await keys.of_key(tenant, key_id)  # type: ignore[return-value]  # ours are all of one kind
    except Refused:
        return None


def _sealed_under(action: Action) -> set[str]:
    found = key_ids(action.target)
    for value in action.parameters.values():
        if PREFIX in value:
            found |= key_ids(value)
    return found


def _opened(action: Action, seals: dict[str, Seal]) -> Action:
    parameters = {name: told(value, seals) for name, value in action.parameters.items()}
    return replace(action, target=told(action.target, seals), parameters=parameters)
