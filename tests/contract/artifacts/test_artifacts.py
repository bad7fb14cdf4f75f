"""What holds of artifacts wherever they lie: whole or not at all, checked whenever they are read, tenants apart."""

import asyncio
import hashlib
import random

import pytest

from kernel.faults import Exhausted
from services.state.adapters.objects import CHUNK_BYTES
from tests.contract.artifacts.places import Place, between

CONTENT = b"what was found\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NEVER, ALWAYS = 0.0, float("inf")


def some(size: int, seed: int = 1) -> tuple[str, bytes]:
    content = random.Random(seed).randbytes(size)
    return hashlib.sha256(content).hexdigest(), content


async def test_what_was_put_is_got_by_its_tenant_alone(place: Place) -> None:
    assert await place.artifacts.hash(CONTENT) == SHA256
    await place.artifacts.put("acme", SHA256, CONTENT)
    for each in (place.artifacts, place.other):
        assert await each.get("acme", SHA256) == CONTENT
        assert await each.get("other", SHA256) is None
        assert await each.get("acme", "0" * 64) is None


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES + 7])
async def test_of_any_size(place: Place, size: int) -> None:
    sha256, content = some(size)
    await place.artifacts.put("acme", sha256, content)
    assert await place.other.get("acme", sha256) == content


async def test_put_again_it_is_there_once(place: Place) -> None:
    await place.artifacts.put("acme", SHA256, CONTENT)
    pieces = await place.pieces()
    await place.other.put("acme", SHA256, CONTENT)
    assert await place.pieces() == pieces


async def test_put_by_many_at_once_it_is_there_and_once_when_it_was_swept(place: Place) -> None:
    sha256, content = some(3 * CHUNK_BYTES)
    writers = [place.artifacts, place.other] * 5
    await asyncio.gather(*(each.put("acme", sha256, content) for each in writers))
    assert await place.artifacts.get("acme", sha256) == content
    await place.artifacts.sweep(ALWAYS)
    assert await place.other.get("acme", sha256) == content
    pieces = await place.pieces()
    await place.artifacts.keep_only("acme", frozenset())
    await place.artifacts.put("acme", sha256, content)
    assert await place.pieces() == pieces, "more than one copy was left"


async def test_what_was_begun_is_nothing(place: Place) -> None:
    await place.begin("acme", SHA256, CONTENT[:700])
    assert await place.other.get("acme", SHA256) is None
    await place.begin("acme", SHA256, CONTENT)
    assert await place.other.get("acme", SHA256) is None, "all of it was there, but nobody had said so"
    await place.artifacts.put("acme", SHA256, CONTENT)
    assert await place.other.get("acme", SHA256) == CONTENT


async def test_what_is_not_what_it_was_is_as_good_as_none_and_is_replaced(place: Place) -> None:
    sha256, content = some(3 * CHUNK_BYTES)
    await place.artifacts.put("acme", sha256, content)
    pieces = await place.pieces()
    await place.damage("acme", sha256)
    assert await place.artifacts.get("acme", sha256) is None
    await place.artifacts.put("acme", sha256, content)
    assert await place.other.get("acme", sha256) == content
    assert await place.pieces() == pieces, "what was damaged is still there"


async def test_without_room_nothing_is_left_and_it_goes_on_when_there_is_room(place: Place) -> None:
    await place.artifacts.put("acme", *some(10))
    async with place.full():
        with pytest.raises(Exhausted) as caught:
            await place.artifacts.put("acme", SHA256, CONTENT)
    assert caught.value.reason == "ARTIFACTS_FULL"
    assert await place.other.get("acme", SHA256) is None
    left = await place.pieces()
    await place.artifacts.sweep(ALWAYS)
    assert await place.pieces() == left, "something was left"
    await place.artifacts.put("acme", SHA256, CONTENT)
    assert await place.other.get("acme", SHA256) == CONTENT


async def test_what_is_older_than_it_is_to_be_kept_is_deleted(place: Place) -> None:
    (old, old_content), (new, new_content) = some(2 * CHUNK_BYTES, 1), some(CHUNK_BYTES + 1, 2)
    await place.artifacts.put("acme", old, old_content)
    await place.artifacts.put("other", old, old_content)
    before = await between()
    empty = await place.pieces()
    await place.artifacts.put("acme", new, new_content)
    young = await place.pieces() - empty
    assert await place.other.forget_before(NEVER) == 0
    assert await place.other.forget_before(before) == 2
    assert await place.artifacts.get("acme", old) is None
    assert await place.artifacts.get("other", old) is None
    assert await place.artifacts.get("acme", new) == new_content
    assert await place.pieces() == young, "nothing of what was deleted is left"
    await place.artifacts.put("acme", old, old_content)
    assert await place.artifacts.get("acme", old) == old_content, "and may be stored again"


async def test_what_is_named_is_kept_and_what_is_renewed_is_as_new(place: Place) -> None:
    (named, content), (renewed, other) = some(CHUNK_BYTES + 1, 1), some(10, 2)
    for tenant in ("acme", "other"):
        await place.artifacts.put(tenant, named, content)
    await place.artifacts.put("acme", renewed, other)
    before = await between()
    assert await place.other.renew("acme", renewed)
    assert not await place.other.renew("other", renewed)
    assert await place.artifacts.forget_before(before, frozenset({f"acme/{named}"})) == 1
    assert await place.artifacts.get("acme", named) == content
    assert await place.artifacts.get("other", named) is None, "it is another tenant's"
    assert await place.artifacts.get("acme", renewed) == other
    assert await place.artifacts.forget_before(await between()) == 2
    assert not await place.artifacts.renew("acme", named)


async def test_what_is_stored_again_is_kept_from_then_on(place: Place) -> None:
    sha256, content = some(2 * CHUNK_BYTES + 1)
    await place.artifacts.put("acme", sha256, content)
    whole = await place.pieces()
    before = await between()
    await place.other.put("acme", sha256, content)
    assert await place.artifacts.forget_before(before) == 0
    assert await place.artifacts.get("acme", sha256) == content
    assert await place.pieces() == whole
    assert await place.artifacts.forget_before(await between()) == 1
    assert await place.pieces() == 0


async def test_what_was_never_finished_is_swept_and_what_is_being_written_is_not(place: Place) -> None:
    await place.artifacts.put("acme", SHA256, CONTENT)
    whole = await place.pieces()
    await place.begin("acme", SHA256, CONTENT)
    await place.begin("acme", *some(700))
    before = await between()
    await place.begin("other", *some(800))
    assert await place.artifacts.sweep(NEVER) == 0
    assert await place.artifacts.sweep(before) == 2
    assert await place.pieces() == whole + 1
    assert await place.artifacts.sweep(ALWAYS) == 1
    assert await place.artifacts.get("acme", SHA256) == CONTENT


async def test_only_what_is_named_is_kept_of_a_tenant_and_what_is_young(place: Place) -> None:
    first, second, third = some(CHUNK_BYTES + 1, 1), some(2, 2), some(3, 3)
    for each in (first, second):
        await place.artifacts.put("acme", *each)
    await place.artifacts.put("other", *first)
    before = await between()
    await place.artifacts.put("acme", *third)
    assert await place.other.keep_only("acme", frozenset({second[0]}), before) == 1
    assert await place.artifacts.get("acme", first[0]) is None
    for each in (second, third):
        assert await place.artifacts.get("acme", each[0]) == each[1]
    assert await place.artifacts.get("other", first[0]) == first[1]
    assert await place.other.keep_only("acme", frozenset()) == 2
