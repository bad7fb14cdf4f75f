"""Artifacts as files: whole or not at all, and checked whenever they are read."""

import asyncio
import hashlib
import os
import resource
from itertools import count
from pathlib import Path

import pytest

from kernel.faults import Exhausted
from services.state.adapters import ArtifactDirectory

CONTENT = b"what was found\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def directory(root: Path) -> ArtifactDirectory:
    numbers = count()
    return ArtifactDirectory(root, lambda: f"n{next(numbers)}")


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_what_was_put_is_got_by_its_tenant_alone(tmp_path: Path) -> None:
    artifacts = directory(tmp_path)
    assert await artifacts.hash(CONTENT) == SHA256
    await artifacts.put("acme", SHA256, CONTENT)
    assert files(tmp_path) == [tmp_path / "acme" / SHA256[:2] / SHA256]
    assert await artifacts.get("acme", SHA256) == CONTENT
    assert await artifacts.get("other", SHA256) is None


async def test_many_at_once_leave_one_file(tmp_path: Path) -> None:
    artifacts = directory(tmp_path)
    await asyncio.gather(*(artifacts.put("acme", SHA256, CONTENT) for _ in range(20)))
    assert files(tmp_path) == [tmp_path / "acme" / SHA256[:2] / SHA256]


async def test_others_may_not_look(tmp_path: Path) -> None:
    await directory(tmp_path).put("acme", SHA256, CONTENT)
    file = tmp_path / "acme" / SHA256[:2] / SHA256
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_file_that_is_not_what_it_was_is_as_good_as_none_and_is_replaced(tmp_path: Path) -> None:
    artifacts = directory(tmp_path)
    await artifacts.put("acme", SHA256, CONTENT)
    file = tmp_path / "acme" / SHA256[:2] / SHA256
    file.write_bytes(CONTENT[:-1])
    assert await artifacts.get("acme", SHA256) is None
    await artifacts.put("acme", SHA256, CONTENT)
    assert await artifacts.get("acme", SHA256) == CONTENT


async def test_without_room_nothing_is_left_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    artifacts = directory(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(Exhausted) as caught:
            await artifacts.put("acme", SHA256, CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.reason == "ARTIFACTS_FULL"
    assert files(tmp_path) == []
    await artifacts.put("acme", SHA256, CONTENT)
    assert await artifacts.get("acme", SHA256) == CONTENT


async def test_what_is_older_than_it_is_to_be_kept_is_deleted(tmp_path: Path) -> None:
    contents = ArtifactDirectory(tmp_path, iter(["a", "b", "c"]).__next__)
    old, new = await contents.hash(b"old"), await contents.hash(b"new")
    await contents.put("acme", old, b"old")
    await contents.put("acme", new, b"new")
    (path,) = tmp_path.rglob(old)
    os.utime(path, (1000.0, 1000.0))
    assert await contents.forget_before(2000.0) == 1
    assert await contents.get("acme", old) is None
    assert await contents.get("acme", new) == b"new"
    await contents.put("acme", old, b"old")
    assert await contents.get("acme", old) == b"old", "and may be stored again"


async def test_what_was_never_finished_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    artifacts = directory(tmp_path)
    await artifacts.put("acme", SHA256, CONTENT)
    (named,) = files(tmp_path)
    begun, being_written = named.with_name(".left"), named.with_name(".now")
    begun.write_bytes(CONTENT[:5])
    being_written.write_bytes(CONTENT[:5])
    os.utime(begun, (1000.0, 1000.0))
    os.utime(named, (1000.0, 1000.0))
    assert await artifacts.sweep(2000.0) == 1
    assert sorted(files(tmp_path)) == sorted([being_written, named])
    assert await artifacts.keep_only("acme", frozenset({SHA256})) == 0
    assert await artifacts.keep_only("acme", frozenset()) == 1
    assert files(tmp_path) == [being_written]
