"""Where aggregates lie that are over: a file of this process alone, which has no name and goes with it.

What lies there follows from the log, is sealed as it is sealed there, and is made anew at each start. So nothing is
flushed, and nobody else reads it. Writing goes to the page cache, and so does reading, while there is room: it is done
at once, for whoever asks for an aggregate gets it at once.
"""

import os
import pickle
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Generic, TypeVar

from kernel.faults import Unavailable

T = TypeVar("T")
MOST_HELD = 200


class Laid(Generic[T]):
    """Something on a shelf."""

    __slots__ = ("_at", "_length", "_shelf")

    def __init__(self, shelf: "Shelf", at: int, length: int) -> None:
        self._shelf, self._at, self._length = shelf, at, length

    def taken(self) -> T:
        """What was put there.

        Raises:
            Unavailable: the disk does not give it back (`STORE_UNREACHABLE`).
        """
        there: T = self._shelf.read(self._at, self._length)
        return there


class Shelf:
    """Takes whatever can be pickled; what was put there or looked at last it holds, too, `most_held` at most."""

    def __init__(self, folder: Path, most_held: int = MOST_HELD) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is open as long as the process lives
        self._end = 0
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._most_held = most_held

    def put(self, what: T) -> Laid[T]:
        """Raises OSError: there is no room."""
        written = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        at, length = self._end, len(written)
        if (done := os.pwrite(self._file.fileno(), written, at)) != length:
            raise OSError(f"{done} of {length} bytes were written")
        self._end += length
        self._hold(at, what)
        return Laid(self, at, length)

    def read(self, at: int, length: int) -> Any:
        """See `Laid.taken`."""
        if at in self._held:
            self._held.move_to_end(at)
            return self._held[at]
        try:
            read = os.pread(self._file.fileno(), length, at)
        except OSError as problem:
            raise _unreadable(problem) from problem
        if len(read) != length:
            raise _unreadable(f"{len(read)} of {length} bytes")
        what = pickle.loads(read)  # noqa: S301 - this process has written it, and nobody else can
        self._hold(at, what)
        return what

    def close(self) -> None:
        """What was put there is gone."""
        self._file.close()

    def _hold(self, at: int, what: Any) -> None:
        self._held[at] = what
        while len(self._held) > self._most_held:
            self._held.popitem(last=False)


def _unreadable(problem: object) -> Unavailable:
    text = (
        f"what is over lies on a disk that does not give it back ({problem}); ask again, or another replica"
    )
    return Unavailable("STORE_UNREACHABLE", text)
