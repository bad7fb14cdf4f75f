"""Artifacts in NATS' object store, so that replicas of state on several machines share them without sharing a disk.

Laid out as every NATS client lays out objects (its ADR-20), so that any of them can read what is here: a stream
`OBJ_<bucket>`, chunks on a subject that one upload alone has, and at last one message of metadata, which says that the
object is there. nats-py's own calls are not used: they send one chunk at a time, read through a consumer that waits for
ever when a chunk is gone, and trust an upload that was swept meanwhile.
"""

import asyncio
import base64
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chassis.eventlog.api import PATIENCE_SECONDS, Patience
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from chassis.telemetry import get_logger
from kernel.faults import Exhausted
from services.state.adapters.bucket import Bucket, NotTaken
from services.state.adapters.contents import hashed

CHUNK_BYTES = 128 * 1024
"""What ADR-20 says; more at once would let appends on the same connection wait for longer."""
_AT_ONCE = 4
"""Chunks on their way: one fsync each, while the next are sent."""
_log = get_logger("state.artifacts")


@dataclass(frozen=True, slots=True)
class _Found:
    """An object's metadata, and the message they came in."""

    sequence: int
    at: float
    name: str
    upload: str
    size: int


class ArtifactObjects:
    """Implements `services.state.ports.Artifacts`. `new_name` makes names that nothing else makes, without dots."""

    def __init__(
        self,
        connection: Connection,
        bucket: str,
        new_name: Callable[[], str],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = connection
        self._bucket = Bucket(connection, bucket, patience_seconds)
        self._new_name = new_name
        self._patience_seconds = patience_seconds

    async def open(self) -> "ArtifactObjects":
        """Have the bucket, on as many servers as the event log. Raises Unavailable, Exhausted."""
        await self._bucket.open()
        return self

    async def hash(self, content: bytes) -> str:
        return await hashed(content)

    async def put(self, tenant: str, sha256: str, content: bytes) -> None:
        name = f"{tenant}/{sha256}"
        patience: Patience | None = None
        given_up: list[str] = []
        while True:
            known = await self._find(name)
            whole = known if known is not None and await self._read(known) is not None else None
            upload = f"{tenant}.{sha256}.{self._new_name()}"
            problem: Exception | None = None
            try:
                if whole is not None:
                    await self._renew(whole, sha256)
                    break
                await self._upload(name, upload, sha256, content)
            except (NotConnected, AnswerLost) as lost:
                problem = lost
            except NotTaken:
                pass
            except Exhausted:
                await self._bucket.drop(*given_up, upload)
                raise
            else:
                given_up += [known.upload] if known is not None else []
                break
            # What became of it is not guessed at: the next round looks, and what is in nobody's way is swept later.
            patience = patience or Patience(self._patience_seconds)
            await patience.wait(self._connection, problem)
        await self._bucket.drop(*given_up)

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        found = await self._find(f"{tenant}/{sha256}")
        while found is not None:
            content = await self._read(found)
            if content is not None:
                return content
            # It may have been put anew while it was read.
            read, found = found, await self._find(f"{tenant}/{sha256}")
            if found is not None and found.upload == read.upload:
                _log.error("artifact is damaged", sha256=sha256)
                return None
        return None

    async def sweep(self, before: float) -> int:
        uploads = {each async for each in self._bucket.subjects(self._bucket.chunks)}
        named = {_name_of(each) async for each in self._bucket.subjects(self._bucket.metas)}
        several: dict[str, list[str]] = {}
        for upload in uploads:
            tenant, sha256, *ours = upload.split(".") + [""] * 2
            if ours[0]:
                several.setdefault(f"{tenant}/{sha256}", []).append(upload)
        count = 0
        for name, begun in several.items():
            if name in named and len(begun) == 1:
                continue
            found = await self._find(name)
            for upload in begun:
                if found is not None and found.upload == upload:
                    continue
                last = await self._bucket.message({"last_by_subj": self._bucket.chunks + upload})
                if last is not None and _time_of(last) < before:
                    await self._bucket.drop(upload)
                    count += 1
        return count

    async def keep_only(self, tenant: str, names: frozenset[str], before: float = math.inf) -> int:
        count = 0
        async for meta in self._bucket.subjects(self._bucket.metas):
            whose, _, sha256 = _name_of(meta).partition("/")
            if whose == tenant and sha256 not in names:
                found = await self._find(f"{tenant}/{sha256}")
                if found is not None and found.at < before:
                    count += await self._delete(found)
        return count

    async def renew(self, tenant: str, sha256: str) -> bool:
        patience: Patience | None = None
        while (found := await self._find(f"{tenant}/{sha256}")) is not None:
            problem: Exception | None = None
            try:
                await self._renew(found, sha256)
            except (NotConnected, AnswerLost) as lost:
                problem = lost
            except NotTaken:
                pass
            else:
                return True
            patience = patience or Patience(self._patience_seconds)
            await patience.wait(self._connection, problem)
        return False

    async def forget_before(self, before: float, but: frozenset[str] = frozenset()) -> int:
        # Metadata lie in the stream in the order of their time: what is asked for is what is deleted, and one more.
        count, sequence = 0, 1
        while (
            message := await self._bucket.message({"seq": sequence, "next_by_subj": self._bucket.metas + ">"})
        ) is not None:
            found = _found(message)
            if found.at >= before:
                break
            if found.name not in but:
                count += await self._delete(found)
            sequence = found.sequence + 1
        return count

    async def _upload(self, name: str, upload: str, sha256: str, content: bytes) -> None:
        last = 0
        parts = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
        for start in range(0, len(parts), _AT_ONCE):
            sending = (
                self._bucket.publish(self._bucket.chunks + upload, each)
                for each in parts[start : start + _AT_ONCE]
            )
            for answer in await asyncio.gather(*sending, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                if answer <= last:
                    raise NotTaken  # a chunk overtook another on its way to the leader
                last = answer
        # Only if its chunks are all still there: whoever stood still for long may have been swept.
        await self._say(name, upload, sha256, len(content), self._bucket.chunks + upload, last)

    async def _renew(self, found: _Found, sha256: str) -> None:
        """Stored again, it is as new: whoever relies on it does so from now on. Raises as `Bucket.publish`."""
        # Only if nobody has said anything else of it: while this is what is said, its chunks are there.
        subject = self._bucket.metas + _encoded(found.name)
        with suppress(Exhausted):  # no room to say so; it is here, and kept as long as it was to be
            await self._say(found.name, found.upload, sha256, found.size, subject, found.sequence)

    async def _say(self, name: str, upload: str, sha256: str, size: int, subject: str, last: int) -> None:
        """The object is there, if the last message of `subject` is still `last`."""
        digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode()
        meta = {
            "name": name,
            "options": {"max_chunk_size": CHUNK_BYTES},
            "bucket": self._bucket.name,
            "nuid": upload,
            "size": size,
            "mtime": datetime.fromtimestamp(0, UTC).isoformat(),  # that of the message counts
            "chunks": -(-size // CHUNK_BYTES),
            "digest": f"SHA-256={digest}",
        }
        lines = (
            "Nats-Rollup: sub\r\n"
            f"Nats-Expected-Last-Subject-Sequence: {last}\r\n"
            f"Nats-Expected-Last-Subject-Sequence-Subject: {subject}\r\n"
        )
        await self._bucket.publish(self._bucket.metas + _encoded(name), json.dumps(meta).encode(), lines)

    async def _read(self, found: _Found) -> bytes | None:
        """The bytes, if they are what the name says."""
        parts: list[bytes] = []
        size, sequence = 0, 0
        while size < found.size:
            message = await self._bucket.message(
                {"seq": sequence + 1, "next_by_subj": self._bucket.chunks + found.upload}
            )
            if message is None:
                return None
            sequence = message["seq"]
            parts.append(base64.b64decode(message.get("data", "")))
            size += len(parts[-1])
        content = b"".join(parts)
        return content if await hashed(content) == found.name.rpartition("/")[2] else None

    async def _find(self, name: str) -> _Found | None:
        message = await self._bucket.message({"last_by_subj": self._bucket.metas + _encoded(name)})
        found = None if message is None else _found(message)
        return found if found is not None and found.upload else None

    async def _delete(self, found: _Found) -> bool:
        """Whether this one was still there. First what says that it is, then what it is made of."""
        deleted = await self._bucket.delete(found.sequence)
        if deleted:  # else it was renewed, or deleted by another: then what it is made of is not ours to take
            await self._bucket.drop(found.upload)
        return deleted


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(meta: str) -> str:
    return base64.urlsafe_b64decode(meta).decode()


def _time_of(message: dict[str, Any]) -> float:
    return datetime.fromisoformat(message["time"]).timestamp()


def _found(message: dict[str, Any]) -> _Found:
    meta = json.loads(base64.b64decode(message["data"]))
    upload = "" if meta.get("deleted") else meta["nuid"]  # another client's way to delete
    return _Found(message["seq"], _time_of(message), meta["name"], upload, meta["size"])
