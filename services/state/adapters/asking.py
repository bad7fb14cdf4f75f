"""What is wanted of the store as commands of one pipeline, and its answers as values in the order of the wants."""

from collections.abc import Sequence
from typing import Any

from services.state.domain.documents import key_of
from services.state.ports import Items, Length, Table, Text, Value, Want


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
    """Answers in the order of `wants`."""
    text, other = iter(texts), iter(others)
    return [next(text) if isinstance(want, Text) else next(other) for want in wants]
