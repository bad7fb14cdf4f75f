"""Artifacts as files named by their hash: `<root>/<tenant>/<aa>/<sha256>`.

A file is written beside its place, brought to disk, and only then given its name, so that under a name there is always
the whole content. What is read is checked against its name: a file that rotted is as good as none.
"""

import asyncio
import errno
import hashlib
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chassis.telemetry import get_logger
from kernel.faults import Exhausted

_log = get_logger("state.artifacts")
_HASHED_AT_ONCE = 256 * 1024  # bytes: a thread would cost more than the hash
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class ArtifactDirectory:
    """Implements `services.state.ports.Artifacts`. `new_name` makes names that nothing else makes."""

    def __init__(self, root: Path, new_name: Callable[[], str]) -> None:
        self._root = root
        self._new_name = new_name

    async def hash(self, content: bytes) -> str:
        return await hashed(content)

    async def put(self, tenant: str, sha256: str, content: bytes) -> None:
        try:
            await asyncio.to_thread(self._put, self._path(tenant, sha256), content)
        except OSError as problem:
            if problem.errno not in _FULL:
                raise
            raise full() from None

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        return await asyncio.to_thread(self._get, self._path(tenant, sha256))

    async def sweep(self, before: float) -> int:
        return await asyncio.to_thread(_unlink, self._root, "*/??/.*", frozenset(), before)

    async def keep_only(self, tenant: str, names: frozenset[str], before: float = math.inf) -> int:
        of_tenant = frozenset(f"{tenant}/{sha256}" for sha256 in names)
        return await asyncio.to_thread(_unlink, self._root, f"{tenant}/??/[!.]*", of_tenant, before)

    async def forget_before(self, before: float, but: frozenset[str] = frozenset()) -> int:
        return await asyncio.to_thread(_unlink, self._root, "*/??/[!.]*", but, before)

    async def renew(self, tenant: str, sha256: str) -> bool:
        try:
            os.utime(self._path(tenant, sha256))
        except FileNotFoundError:
            return False
        return True

    def _path(self, tenant: str, sha256: str) -> Path:
        return self._root / tenant / sha256[:2] / sha256

    def _put(self, path: Path, content: bytes) -> None:
        if self._get(path) is not None:
            with suppress(FileNotFoundError):  # its time was over just now
                os.utime(path)  # stored again, it is as new: whoever relies on it does so from now on
                return
        made: list[Path] = []
        if not path.parent.is_dir():
            made = [each for each in path.parents if not each.exists()]
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{self._new_name()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        # A name is on disk once its directory is, and so on upwards for directories that are new.
        for directory in {path.parent, *(each.parent for each in made)}:
            _sync(directory)

    def _get(self, path: Path) -> bytes | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != path.name:
            _log.error("artifact is damaged", sha256=path.name)
            return None
        return content


async def hashed(content: bytes) -> str:
    """The hex SHA-256 of `content`."""
    if len(content) <= _HASHED_AT_ONCE:
        return hashlib.sha256(content).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())


def full() -> Exhausted:
    return Exhausted(
        "ARTIFACTS_FULL", "there is no room for artifacts: nothing was stored; free some and try again"
    )


def _unlink(root: Path, pattern: str, but: frozenset[str], before: float) -> int:
    count = 0
    for path in root.glob(pattern):
        with suppress(FileNotFoundError):  # named or deleted meanwhile
            name = f"{path.parent.parent.name}/{path.name}"
            if name not in but and path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
