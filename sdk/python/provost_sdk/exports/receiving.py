"""An export as it arrives, written into a folder that has its name only once all of it is there.

Whoever sends it is not trusted: a path is one that exports have, and nothing is written anywhere else.
"""

import errno
import fcntl
import os
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import IO, Self

from provost_sdk.exports.layout import MANIFEST, SIGNED
from provost_sdk.note import NotProved

_PATH = re.compile(
    r"checkpoint|manifest|README|SHA256SUMS|events/[0-9]{5,9}\.(?:jsonl|parquet)"
    r"|tile/(?:entries|[0-9]{1,2})/(?:x[0-9]{3}/){0,6}[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
)
_MARK = ".provost-export"
_MOST_OPEN = 8


class CannotReceive(Exception):
    """There is no place for it; the text says what to do."""


class Receiving:
    """Receives an export into `target`, which must not be there, or be empty.

    Until `finish` it grows in `<target>.unfinished`, which is removed when anything fails; what an attempt that was
    killed has left there is replaced.

    Raises:
        CannotReceive: something is there already, or somebody else is at it, or it cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._outer = target.with_name(target.name + ".unfinished")
        self.folder = self._outer / "export"
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._made: set[Path] = set()
        self._lock: int | None = None
        self._ended = False

    def __enter__(self) -> Self:
        self._refuse_what_is_there()
        try:
            self._outer.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_over()
        except OSError as problem:
            raise CannotReceive(_told(problem, self._outer)) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._lock is not None:
            shutil.rmtree(self._outer, ignore_errors=True)
            os.close(self._lock)

    def write(self, path: str, piece: bytes) -> None:
        """Append to a file of the export.

        Raises:
            NotProved: no export has such a file.
            CannotReceive: it cannot be written.
        """
        if _PATH.fullmatch(path) is None:
            raise NotProved(f"the ledger sent a file that no export has: {path[:100]!r}")
        try:
            self._file(path).write(piece)
        except OSError as problem:
            raise CannotReceive(_told(problem, self._target)) from None
        self._ended = self._ended or path == MANIFEST

    def close(self) -> None:
        """All has come: put it on the disk.

        Raises:
            NotProved: it has not.
            CannotReceive: it cannot be written.
        """
        try:
            self._close()
        except OSError as problem:
            raise CannotReceive(_told(problem, self._target)) from None
        missing = [each for each in SIGNED if not (self.folder / each).exists()]
        if missing or not self._ended:
            raise NotProved(f"the export ended before {', '.join(missing) or MANIFEST} came")

    def finish(self) -> None:
        """Give it its name. Raises CannotReceive: something is there by now, or it cannot be renamed."""
        self._refuse_what_is_there()
        try:
            self.folder.replace(self._target)
        except OSError as problem:
            raise CannotReceive(_told(problem, self._target)) from None

    def _refuse_what_is_there(self) -> None:
        target = self._target
        if not (target.exists() or target.is_symlink()):
            return
        if target.is_symlink() or not target.is_dir():
            raise CannotReceive(f"{target} is there and is no folder")
        if (target / MANIFEST).exists():
            raise CannotReceive(f"{target} holds an export already: name another folder, or remove it first")
        if next(target.iterdir(), None) is not None:
            raise CannotReceive(f"{target} is not empty: name another folder")
        if target.is_mount():
            raise CannotReceive(f"{target} is where a file system is mounted: name a folder inside it")

    def _take_over(self) -> None:
        mark = self._outer / _MARK
        if not mark.exists() and next(self._outer.iterdir(), None) is not None:
            raise CannotReceive(f"{self._outer} is in the way, and not from an export: remove it first")
        lock = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise CannotReceive(f"another export into {self._target} is going on") from None
        self._lock = lock
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir()

    def _file(self, path: str) -> IO[bytes]:
        file = self._open.pop(path, None)
        if file is None:
            if len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            whole = self.folder / path
            if whole.parent not in self._made:
                whole.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(whole.parent)
            file = whole.open("ab")
        self._open[path] = file
        return file

    def _close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def _told(problem: OSError, place: Path) -> str:
    if problem.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"there is no room for the export at {place} ({problem.strerror}); nothing of it was kept"
    return f"{place} cannot be written: {problem.strerror}"
