"""A list that only grows, in which each is found by what makes it the same as another."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, overload


class _Known(Protocol):
    @property
    def same(self) -> Hashable: ...


T = TypeVar("T", bound=_Known)


class Growing(Sequence[T]):
    """Oldest first; never changes. All versions of one list share it, so that one more costs the same however many
    there are: each knows how many of it are its own.
    """

    __slots__ = ("_every", "_length", "_places")

    def __init__(self, every: Iterable[T] = ()) -> None:
        self._every = list(every)
        self._length = len(self._every)
        self._places: dict[Hashable, int] = {}
        for place, each in enumerate(self._every):
            self._places.setdefault(each.same, place)

    def with_(self, one: T) -> "Growing[T]":
        """This list, and `one` behind it."""
        if not self._length:
            return Growing((one,))
        if self._length == len(self._every):
            self._places.setdefault(one.same, self._length)
            self._every.append(one)
        elif self._every[self._length] != one:  # another went on from here already, and otherwise
            return Growing((*self, one))
        longer: Growing[T] = Growing.__new__(Growing)
        longer._every, longer._places, longer._length = self._every, self._places, self._length + 1
        return longer

    def find(self, wanted: T) -> T | None:
        """The first that is the same as `wanted`."""
        place = self._places.get(wanted.same, self._length)
        return self._every[place] if place < self._length else None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return (self._every[place] for place in range(self._length))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        places = range(self._length)[index]
        return (
            self._every[places] if isinstance(places, int) else tuple([self._every[each] for each in places])
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and self[:] == other[:]

    def __hash__(self) -> int:
        return hash(self[:])

    def __repr__(self) -> str:
        return f"Growing({self[:]!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Growing, (self[:],)
