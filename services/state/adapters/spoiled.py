"""How it shows that something lies in the store that state has not put there, and where."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.exceptions import ResponseError

from services.state.adapters.wholeness import FILLINGS
from services.state.domain.tables import TABLES
from services.state.domain.view import Part

_SIGNS = ("WRONGTYPE", "attempt to ", "not an integer")
"""What a store says of a value that a command, or a script, cannot do anything with."""
_MOST_NAMED = 5
_KINDS = {
    **dict.fromkeys((Part.ARTIFACTS, Part.REVOCATIONS), "list"),
    **dict.fromkeys((*TABLES, Part.ERRORS), "hash"),
    Part.AGENTS: "set",
}


def is_spoiled(problem: Exception) -> bool:
    """Whether the store would answer the same again, because of what lies in it."""
    return isinstance(problem, ResponseError) and any(sign in str(problem) for sign in _SIGNS)


async def misfits(pipeline: Callable[[], AbstractAsyncContextManager[Any]], keys: Sequence[str]) -> list[str]:
    """Those of `keys` that hold another kind of thing than state puts there, five at most, as one may tell them."""
    async with pipeline() as pipe:
        for key in keys:
            pipe.type(key)
        found = await pipe.execute()
    return list(_named(dict(zip(keys, found, strict=True))))[:_MOST_NAMED]


def _named(kinds: dict[str, str]) -> Iterator[str]:
    for key, kind in kinds.items():
        should = _kind_of(key)
        if kind not in ("none", should):
            yield f"{key} is a {kind}, not a {should}"


def _kind_of(key: str) -> str:
    if key == FILLINGS:
        return "set"
    part = key.rpartition("}")[2].removeprefix(":")
    return _KINDS.get(Part(part), "string") if part in set(Part) else "string" if part else "hash"
