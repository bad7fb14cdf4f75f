"""How one value of a policy set is read: each function gives it back, or says what is wrong and on which path."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from services.policy.domain.amounts import MAX_AMOUNT
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.tier import Tier

MAX_RULES = 1000
TIERS = tuple(tier.value for tier in Tier)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

Entry = TypeVar("Entry")


class WithId(Protocol):
    @property
    def id(self) -> str: ...


Called = TypeVar("Called", bound=WithId)


class Problems:
    """All mistakes of a document, rather than the first alone."""

    def __init__(self) -> None:
        self.found: list[PolicySetInvalid] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is found wrong inside ends the block, and is noted."""
        try:
            yield
        except PolicySetInvalid as problem:
            self.found.append(problem)

    def each(
        self, value: object, path: str, read: Callable[[object, str], Entry], most: int = MAX_RULES
    ) -> tuple[Entry, ...]:
        """Those entries of the list `value` that can be read."""
        return tuple(entry for _, entry in self._read(value, path, read, most))

    def named(
        self, value: object, path: str, read: Callable[[object, str], Called], most: int = MAX_RULES
    ) -> tuple[Called, ...]:
        """As `each`, and no two may have the same id."""
        entries: list[Called] = []
        seen: set[str] = set()
        for n, entry in self._read(value, path, read, most):
            entries.append(entry)
            if entry.id in seen:
                text = f"another one is called {entry.id!r} already"
                self.found.append(PolicySetInvalid(text, f"{path}/{n}/id"))
            seen.add(entry.id)
        return tuple(entries)

    def _read(
        self, value: object, path: str, read: Callable[[object, str], Entry], most: int
    ) -> Iterator[tuple[int, Entry]]:
        """Those that can be read, each with its place in the list."""
        with self.noted():
            for n, each in enumerate(listed(value, path, most)):
                with self.noted():
                    yield n, read(each, f"{path}/{n}")


def mapping(
    value: object, path: str, required: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise PolicySetInvalid(f"must be a mapping with {', '.join(required or optional)}", path)
    for key in value:
        if key not in required and key not in optional:
            below = f"{path}/{key}".lstrip("/")
            raise PolicySetInvalid(
                f"{key!r} is unknown; known are {', '.join((*required, *optional))}", below
            )
    for key in required:
        if key not in value:
            raise PolicySetInvalid(f"{key} is missing", path)
    return value


def listed(value: object, path: str, most: int = MAX_RULES) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > most:
        raise PolicySetInvalid(f"must be a list of at most {most}", path)
    return value


def text(value: object, path: str, most: int = 500, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise PolicySetInvalid(f"must be a text of {least} to {most} characters (put it in quotes)", path)
    return str(value)


def name(value: object, path: str) -> str:
    given = text(value, path)
    if _NAME.fullmatch(given) is None:
        raise PolicySetInvalid("must be 1 to 64 letters, digits, '.', '_' and '-'", path)
    return given


def texts(value: object, path: str) -> tuple[str, ...]:
    found = tuple(text(each, f"{path}/{n}") for n, each in enumerate(listed(value, path)))
    if not found:
        raise PolicySetInvalid("must not be empty", path)
    return found


def one_of(known: Sequence[str], value: object, path: str) -> str:
    given = text(value, path)
    if given not in known:
        raise PolicySetInvalid(f"{given!r} is unknown; known are {', '.join(known)}", path)
    return given


def some_of(known: Sequence[str], value: object, path: str) -> tuple[str, ...]:
    chosen = texts(value, path)
    return tuple(one_of(known, each, f"{path}/{n}") for n, each in enumerate(chosen))


def tier(value: object, path: str) -> Tier:
    return Tier(one_of(TIERS, value, path))


def tiers(value: object, path: str) -> tuple[Tier, ...]:
    return tuple(Tier(each) for each in some_of(TIERS, value, path))


def number(value: object, path: str, least: int = 0, most: int = MAX_AMOUNT) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise PolicySetInvalid(f"must be a whole number from {least} to {most}", path)
    return int(value)


def flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise PolicySetInvalid("must be true or false", path)
    return value


def action_patterns(value: object, path: str, actions: Mapping[str, str]) -> tuple[str, ...]:
    patterns = texts(value, path)
    for n, pattern in enumerate(patterns):
        matching_some(pattern, f"{path}/{n}", actions)
    return patterns


def matching_some(pattern: str, path: str, actions: Mapping[str, str]) -> str:
    if not any(first_match((pattern,), action) for action in actions):
        raise PolicySetInvalid(f"{pattern!r} matches none of the set's actions", path)
    return pattern
