"""An export's folder, read with care: bounded, links refused, every file named and none besides."""

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

from provost_sdk.exports.layout import SIGNED, SUMS, Manifest, expected
from provost_sdk.note import NotProved

_MAX_TEXT_BYTES = 1_000_000
_MAX_SUM_BYTES = 1024
_AT_ONCE = 1024 * 1024
# Where there is such a thing: a link is not followed, a pipe keeps nobody waiting, a file is not taken for text.
_READ = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _READ |= getattr(os, _flag, 0)


class Folder:
    """The export in `path`. Everything may raise NotProved, and OSError where the disk or rights are in the way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        """A file for reading."""
        try:
            descriptor = os.open(self._path / name, _READ)
        except (FileNotFoundError, NotADirectoryError):
            raise NotProved(f"{name} is missing") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotProved(f"{name} is not a file")
        return os.fdopen(descriptor, "rb")

    def text(self, name: str) -> str:
        """A small text file."""
        with self.open(name) as file:
            raw = file.read(_MAX_TEXT_BYTES + 1)
        try:
            if len(raw) <= _MAX_TEXT_BYTES:
                return raw.decode()
        except UnicodeDecodeError:
            pass  # the same as one that is too long: it is not what it must be
        raise NotProved(f"{name} is too long, or not text")

    def is_exactly(self, name: str, wanted: bytes) -> tuple[int, int]:
        """Where a file first differs from `wanted`, -1 if it does not, and how long it is, at most one byte more."""
        with self.open(name) as file:
            found = file.read(len(wanted) + 1)
        if found == wanted:
            return -1, len(found)
        pairs = zip(found, wanted, strict=False)
        at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(found), len(wanted)))
        return at, len(found)

    def digest(self, name: str) -> bytes:
        """The SHA-256 of a file."""
        found = sha256()
        with self.open(name) as file:
            while piece := file.read(_AT_ONCE):
                found.update(piece)
        return found.digest()

    def sums(self) -> Iterator[tuple[str, bytes]]:
        """Path and SHA-256 of every line of SHA256SUMS."""
        with self.open(SUMS) as file:
            number = 0
            while line := file.readline(_MAX_SUM_BYTES):
                number += 1
                digest, gap, path = line[:64], line[64:66], line[66:]
                try:
                    raw = bytes.fromhex(digest.decode())
                    name = path.decode()
                except ValueError:
                    raw, name = b"", ""
                if len(raw) != 32 or raw.hex().encode() != digest or gap != b"  " or not name.endswith("\n"):
                    raise NotProved(f"{SUMS} line {number} is not a SHA-256, two spaces and a path")
                yield name[:-1], raw

    def check_names(self, manifest: Manifest) -> None:
        """That SHA256SUMS lists just what an export of this size has, and that just this is there."""
        listed = self.sums()
        count = len(SIGNED)
        for name in expected(manifest):
            count += 1
            path, _ = next(listed, ("", b""))
            if path != name:
                raise NotProved(
                    f"{SUMS} line {count - len(SIGNED)}: {name} was to come, there is {path or 'nothing'}"
                )
            self._check_is_file(name)
        if extra := next(listed, None):
            raise NotProved(f"{SUMS} lists {extra[0]}, which no export of this size has")
        found = 0
        for _ in self._walk(self._path, ""):
            found += 1
            if found > count:
                break
        if found != count:
            names = {*expected(manifest), *SIGNED}
            extra_name = next(each for each in self._walk(self._path, "") if each not in names)
            raise NotProved(f"{extra_name} does not belong to the export")

    def _check_is_file(self, name: str) -> None:
        try:
            mode = os.lstat(self._path / name).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise NotProved(f"{name} is missing") from None
        if not stat.S_ISREG(mode):
            raise NotProved(f"{name} is not a file")

    def _walk(self, folder: Path, above: str) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for each in entries:
                name = above + each.name
                if each.is_symlink():
                    raise NotProved(f"{name} is a link: an export has files and folders alone")
                if each.is_dir(follow_symlinks=False):
                    yield from self._walk(folder / each.name, f"{name}/")
                else:
                    yield name
