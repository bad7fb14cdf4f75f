"""Recorded actions as they were asked: what is sealed in them opened, as long as its key is there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from chassis.sealing import PREFIX, Seal, key_ids, told
from kernel.faults import Refused
from kernel.ports import SubjectKeys
from services.policy.domain.action import Action
from services.policy.domain.flips import FlipCounts, Then


async def opened(thens: Sequence[Then], tenant: str, keys: SubjectKeys, tally: FlipCounts) -> list[Then]:
    """Those that can be read; the others are counted as erased.

    Raises:
        Unavailable: the keys cannot be reached.
    """
    sealed = {n: wanted for n, then in enumerate(thens) if (wanted := _sealed_under(then.record.action))}
    if not sealed:
        return list(thens)
    key_ids = sorted(set().union(*sealed.values()))
    found = await asyncio.gather(*(_seal(keys, tenant, key_id) for key_id in key_ids))
    seals = {key_id: seal for key_id, seal in zip(key_ids, found, strict=True) if seal is not None}
    readable: list[Then] = []
    for n, then in enumerate(thens):
        if n in sealed:
            if not sealed[n] <= seals.keys():
                tally.leave_out("erased")
                continue
            then.record.action = _opened(then.record.action, seals)
        readable.append(then)
    return readable


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
