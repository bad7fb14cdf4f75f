"""What a witness must not forget, and what happens when it does."""

from pathlib import Path

import pytest

from provost_sdk.note import Checkpoint
from services.ledger.witness.restoring import restore_from
from services.ledger.witness.store import (
    MAX_KEPT_REFUSALS,
    MemoryLost,
    MemoryTaken,
    Store,
    StoreTrouble,
    open_store,
)
from services.ledger.witness.trust import Trusted
from tests.unit.sdk.log import SmallLog
from tests.unit.witness.words import Bench, forked, grown

LOG = SmallLog(30)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, LOG.vkey)


async def test_it_remembers_across_restarts(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    key = bench.key.text
    bench.restart()
    assert bench.key.text == key
    assert await bench.add(grown(forked(LOG, 3), 0, 21)) == (409, "8\n")
    assert bench.memory.stat().st_mode & 0o777 == 0o600


async def test_two_with_one_memory_are_not_let_in(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    with pytest.raises(MemoryTaken, match="another witness"):
        open_store(bench.memory, bench.key_file)


async def test_a_key_without_its_memory_does_not_sign_on(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    bench.store.close()
    bench.memory.unlink()
    with pytest.raises(MemoryLost, match="two histories"):
        bench.start()
    assert not bench.memory.exists(), "a second try is refused as well"
    bench.key_file.unlink()
    bench.start()  # a new key vouches for nothing the old one has signed
    assert (await bench.add(grown(LOG, 0, 21)))[0] == 200


async def test_a_lost_memory_comes_back_from_what_it_has_signed(bench: Bench, tmp_path: Path) -> None:
    _, line = await bench.add(grown(LOG, 0, 8))
    published = tmp_path / "checkpoint"
    published.write_text(LOG.checkpoint(8) + line)
    bench.store.close()
    bench.memory.unlink()
    (kept,) = restore_from([published], bench.memory, bench.key.text, Trusted(LOG.vkey))
    assert kept.head.size == 8
    bench.start()
    assert (await bench.add(grown(forked(LOG, 3), 8, 21)))[0] == 422
    assert (await bench.add(grown(LOG, 8, 21)))[0] == 200


async def test_only_what_it_has_signed_itself_is_restored(bench: Bench, tmp_path: Path) -> None:
    _, line = await bench.add(grown(LOG, 0, 8))
    other = SmallLog(8, "other.example/log")
    files = {
        "unsigned": LOG.checkpoint(8),
        "another size": LOG.checkpoint(21) + line,
        "good": LOG.checkpoint(8) + line,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    where, vkey = tmp_path / "restored.db", bench.key.text
    for name, problem in (
        ("unsigned", "have signed"),
        ("another size", "does not verify"),
        ("missing", "No such file"),
    ):
        with pytest.raises(ValueError, match=problem):
            restore_from([tmp_path / name], where, vkey, Trusted(LOG.vkey))
    with pytest.raises(ValueError, match="not signed by a log"):
        restore_from([tmp_path / "good"], where, vkey, Trusted(other.vkey))
    with pytest.raises(ValueError, match=r"no checkpoint is given of other.example/log"):
        restore_from([tmp_path / "good"], where, vkey, Trusted(f"{LOG.vkey},{other.vkey}"))
    with pytest.raises(ValueError, match="two of the checkpoints"):
        restore_from([tmp_path / "good"] * 2, where, vkey, Trusted(LOG.vkey))
    assert not where.exists()
    with pytest.raises(ValueError, match="nothing is restored over it"):
        restore_from([tmp_path / "good"], bench.memory, vkey, Trusted(LOG.vkey))


async def test_what_cannot_be_kept_is_not_signed(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    pages = bench.store._db.execute("PRAGMA page_count").fetchone()[0]
    bench.store._db.execute(f"PRAGMA max_page_count = {pages}")  # no room
    others = [SmallLog(3, f"other.example/{n}" + "x" * 2000) for n in range(3)]
    bench.trusts = ",".join([LOG.vkey, *(each.vkey for each in others)])
    bench.web._trusted = Trusted(bench.trusts)
    answers = [await bench.add(grown(each, 0, 3)) for each in others]
    refused = [each for each, (status, text) in zip(others, answers, strict=True) if status == 503]
    assert refused
    assert not any("—" in text for status, text in answers if status != 200)
    bench.store._db.execute("PRAGMA max_page_count = 100000")
    for each in refused:
        assert (await bench.add(grown(each, 0, 3)))[0] == 200, "it goes on when there is room"


def test_a_damaged_memory_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "heads.db"
    path.write_bytes(b"not a database, and long enough to be looked at" * 40)
    with pytest.raises(StoreTrouble):
        Store(path)


async def test_evidence_has_a_limit(bench: Bench) -> None:
    store = bench.store
    for size in range(MAX_KEPT_REFUSALS + 5):
        store.accuse(Checkpoint("a", size, bytes(32)), "note", "why", size)
    store.accuse(Checkpoint("a", 9999, bytes(32)), "note", "another reason", 9999)
    store.accuse(Checkpoint("b", 1, bytes(32)), "note", "why", 10000)
    found = store.refused(5000)
    assert len(found) == MAX_KEPT_REFUSALS + 2
    assert [each.head.size for each in store.refused(2)] == [1, 9999]
