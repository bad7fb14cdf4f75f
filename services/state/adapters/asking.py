"""What is wanted of the store as commands of one pipeline, and its answers as values in the order of the wants."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from chassis.telemetry import get_logger
from services.state.domain.documents import key_of
from services.state.domain.faults import StoreSpoiled
from services.state.domain.plain import from_json
from services.state.domain.view import Part
from services.state.ports import Items, Length, Table, Text, Value, Want

_SIGNS_OF_LIFE = (Part.HEARTBEAT, Part.ACTIVITY)
_log = get_logger("state.store")


def ask(pipe: Any, wants: Sequence[Want]) -> list[str]:
    """Put every want into `pipe` but texts, whose keys are answered: one command behind the others reads them all."""
    texts: list[str] = []
    for want in wants:
        key = key_of(want.place)
        match want:
            case Text():
                texts.append(key)
            case Table():
                pipe.hgetall(key)
            case Items(first=first, last=last):
                pipe.lrange(key, first, last)
            case Length():
                pipe.llen(key)
    return texts


def values(wants: Sequence[Want], others: Sequence[Any], texts: Sequence[str | None]) -> list[Value]:
    """Answers in the order of `wants`. Raises StoreSpoiled when one is not the record that it should be."""
    text, other = iter(texts), iter(others)
    return [_value(want, next(text) if isinstance(want, Text) else next(other)) for want in wants]


def _value(want: Want, found: Any) -> Value:
    if isinstance(want, Text) and want.place.part in _SIGNS_OF_LIFE:
        return found if found and _is_time(key_of(want.place), found) else None
    if isinstance(want, Length) or want.record is None or found is None:
        return found
    record = want.record
    try:
        match want:
            case Text():
                return from_json(record, found)
            case Table():
                return {name: from_json(record, text) for name, text in found.items()}
            case Items():
                return [from_json(record, text) for text in found]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise StoreSpoiled(f"{key_of(want.place)} holds no {record.__name__}") from problem


@lru_cache(256)
def _is_time(key: str, text: str) -> bool:
    """Remembered, so that one that is none is told of once."""
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return True
    except ValueError:
        pass  # as one without a zone: told of below
    _log.warning("a sign of life in the store is no time, and counts as none", where=key)
    return False
