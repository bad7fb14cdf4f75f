"""The places under test, and what a test may do to each."""

import itertools
import resource
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from chassis.eventlog.api import call
from chassis.eventlog.headers import block
from chassis.eventlog.wire import Connection
from chassis.process import new_id
from services.state.adapters import ArtifactDirectory, ArtifactObjects
from services.state.ports import Artifacts
from tests.fakes.wait import until

_buckets = itertools.count()


class Place(Protocol):
    """Where artifacts lie: `artifacts` and `other` are two processes that share it."""

    artifacts: Artifacts
    other: Artifacts

    async def begin(self, tenant: str, sha256: str, content: bytes) -> None:
        """Another process begins to store this, and dies."""
        ...

    async def damage(self, tenant: str, sha256: str) -> None:
        """A part of what lies there is lost."""
        ...

    async def pieces(self) -> int:
        """How many files or messages there are."""
        ...

    def full(self) -> AbstractAsyncContextManager[None]:
        """Inside, there is room for a few bytes and no more."""
        ...


class InDirectory:
    def __init__(self, root: Path) -> None:
        self.artifacts: Artifacts = ArtifactDirectory(root, new_id)
        self.other: Artifacts = ArtifactDirectory(root, new_id)
        self._root = root

    async def begin(self, tenant: str, sha256: str, content: bytes) -> None:
        directory = self._root / tenant / sha256[:2]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f".{new_id()}").write_bytes(content)

    async def damage(self, tenant: str, sha256: str) -> None:
        file = self._root / tenant / sha256[:2] / sha256
        file.write_bytes(file.read_bytes()[:-1])

    async def pieces(self) -> int:
        return len([path for path in self._root.rglob("*") if path.is_file()])

    @asynccontextmanager
    async def full(self) -> Any:
        with _files_of_at_most(512):
            yield


class InNats:
    def __init__(self, connection: Connection, second: Connection, bucket: str) -> None:
        self.connection, self.bucket = connection, bucket
        self.artifacts: Artifacts = ArtifactObjects(connection, bucket, new_id)
        self.other: Artifacts = ArtifactObjects(second, bucket, new_id)

    async def begin(self, tenant: str, sha256: str, content: bytes) -> None:
        await self.connection.ask(f"$O.{self.bucket}.C.{tenant}.{sha256}.{new_id()}", content)

    async def damage(self, tenant: str, sha256: str) -> None:
        chunk = f"$O.{self.bucket}.C.{tenant}.{sha256}.*"
        last = await self.call("STREAM.MSG.GET", {"last_by_subj": chunk})
        await self.call("STREAM.MSG.DELETE", {"seq": last["message"]["seq"]})

    async def pieces(self) -> int:
        return int((await self.call("STREAM.INFO"))["state"]["messages"])

    @asynccontextmanager
    async def full(self) -> Any:
        info = await self.call("STREAM.INFO")
        few = {"max_bytes": info["state"]["bytes"] + 512}
        await self.call("STREAM.UPDATE", info["config"] | few)
        yield
        await self.call("STREAM.UPDATE", info["config"])

    async def call(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await call(self.connection, f"{what}.OBJ_{self.bucket}", body)
        assert "error" not in answer, answer
        return answer

    async def put_raw(self, subject: str, payload: bytes, lines: str = "") -> None:
        await self.connection.ask(
            f"$O.{self.bucket}.{subject}", payload, header=block(lines) if lines else b""
        )


async def in_nats(connection: Connection, second: Connection) -> InNats:
    """A bucket that nobody had before."""
    place = InNats(connection, second, f"TEST{next(_buckets)}")
    await ArtifactObjects(connection, place.bucket, new_id).open()
    return place


async def between() -> float:
    """A time after all that was stored and before all that will be; seconds since 1970."""
    then = time.time()
    await until(lambda: time.time() > then + 0.04, "the clock stands still")
    return then + 0.02


@contextmanager
def _files_of_at_most(n_bytes: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
