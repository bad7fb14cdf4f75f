"""What has changed lately in one tenant, each thing once: behind any place in it stands what changed since, in order.

It is the one queue that all watches of a tenant share. A thing that changes again moves to the end, so that it grows
with the number of things and not with the number of changes; beyond its bounds the oldest are let go.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from services.state.domain.board import Entry
from services.state.domain.watching import Acknowledgement, Concern, Mail, Thing, Whose

MAX_THINGS = 10_000
MAX_BYTES = 16 * 1024 * 1024
"""Of entries, messages and what was read of them; what else there is is small, or there anyway."""


@dataclass(slots=True)
class Change:
    """A thing that has changed, and where the event stands that changed it last."""

    sequence: int
    concern: Concern
    what: Thing | None
    n_bytes: int = 0
    encoded: bytes = b""
    """As it is told; empty until somebody is told of it."""
    replaced: bool = False
    """Whether the thing has changed again."""


class Lately:
    """Changes behind the sequence `upto`: what was before is not known."""

    def __init__(self, upto: int, max_things: int = MAX_THINGS, max_bytes: int = MAX_BYTES) -> None:
        self._changes: OrderedDict[tuple[str, ...], Change] = OrderedDict()
        self._max_things = max_things
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self.forgotten = upto
        """Of changes up to here, some may have been let go."""

    def take(self, concern: Concern, sequence: int) -> tuple[Change, list[Change]]:
        """Add a change, newer than all others; answers it, and the oldest ones, if some have to go."""
        old = self._changes.pop(concern.name, None)
        n_bytes = _size(concern.what)
        self._n_bytes += n_bytes
        if old is not None:
            self._n_bytes -= old.n_bytes
            old.what, old.encoded, old.replaced = None, b"", True
        added = self._changes[concern.name] = Change(
            sequence, concern._replace(what=None), concern.what, n_bytes
        )
        gone: list[Change] = []
        while len(self._changes) > self._max_things or self._n_bytes > self._max_bytes:
            oldest = self._changes.popitem(last=False)[1]
            self._n_bytes -= oldest.n_bytes
            self.forgotten = oldest.sequence
            gone.append(oldest)
        return added, gone

    def whose(self, name: tuple[str, ...]) -> Whose | None:
        """Whose the thing was when it changed last, if that is known still."""
        known = self._changes.get(name)
        return None if known is None else known.concern.whose

    def newest_first(self) -> Iterator[Change]:
        return reversed(self._changes.values())


def _size(what: Thing | None) -> int:
    match what:
        case Entry(value=text):
            return len(text)
        case Mail(message=message):
            return len(message.body)
        case Acknowledgement(message_ids=ids):
            return sum(map(len, ids))
        case _:
            return 0
