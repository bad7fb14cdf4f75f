"""The ledger and its witnesses: heads are signed by them too, and nothing they do, or do not do, stops it."""

import asyncio
import shutil
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from provost_sdk.cosignatures import cosigned
from services.ledger.domain.audit import Finding
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import LeafOutOfRange
from services.ledger.domain.witnesses import Answer, Cosigned, Elsewhere, parse_witness_key, parse_witnesses
from services.ledger.handlers import witnessing
from tests.fakes.wait import until
from tests.unit.ledger.fakes import ListedLog
from tests.unit.ledger.story import plain, plains
from tests.unit.ledger.watched import NearWitness, WatchedBench


async def verdict(bench: WatchedBench) -> list[Finding]:
    return [each for each in (await bench.ledger.verify(against_log=True)).findings if each.name == "witness"]


async def test_each_head_is_published_with_what_witnesses_have_signed(tmp_path: Path) -> None:
    async with WatchedBench(tmp_path, ListedLog(), count=2).running() as bench:
        for count in (3, 5, 300):
            await bench.grow(*plains(count, bench.ledger.position.last + 1))
            head = await bench.cosigned()
            assert head.checkpoint.size == bench.ledger.position.size
            assert head.witnesses == ("witness.example/w0", "witness.example/w1")
            assert len(cosigned(head.note, bench.keys)) == 2
            assert bench.signer.opens(head.note) == head.checkpoint
        assert [each.ok for each in await verdict(bench)] == [True, True]
        assert bench.witnesses[0].asked[:3] == [0, 3, 8], "from where it stands, without asking where that is"


async def test_an_inclusion_proof_bears_them_too(tmp_path: Path) -> None:
    async with WatchedBench(tmp_path, ListedLog()).running() as bench:
        await bench.grow(*plains(9))
        await bench.cosigned()
        entry = (await bench.book.rows(4, 4))[0]
        for tree_size in (0, 9):
            proof = await bench.ledger.proving.inclusion("default", entry.event_id, tree_size)
            assert cosigned(proof.head.note, bench.keys)


async def test_a_restart_shows_them_without_asking(tmp_path: Path) -> None:
    bench = WatchedBench(tmp_path, ListedLog())
    async with bench.running():
        await bench.grow(*plains(9))
        before = await bench.cosigned()
    bench.witnesses[0].away = True
    async with bench.running():
        await until(lambda: bool(bench.witnessing.standings[0].trouble), "it was not asked")
        after = await bench.ledger.proving.tree_head()
        assert (after.note, after.witnesses) == (before.note, before.witnesses)
        (finding,) = await verdict(bench)
        assert finding.ok
        assert "it is away" in finding.detail
        assert "signed 9 events" in finding.detail
    for content in (b"", b"\xff", before.note.replace("\n9\n", "\n8\n").encode()):
        (tmp_path / "cosigned").write_bytes(content)
        async with bench.running():
            await until(lambda: bool(bench.witnessing.standings[0].trouble), "it was not asked")
            assert (await bench.ledger.proving.tree_head()).witnesses == ()


async def test_one_that_was_away_is_given_the_proof_from_its_own_head(tmp_path: Path) -> None:
    bench = WatchedBench(tmp_path, ListedLog(), count=2)
    one, other = bench.witnesses
    async with bench.running():
        await bench.grow(*plains(7))
        await bench.cosigned()
        one.away = True
        await bench.grow(*plains(20, 8))
        assert (await bench.cosigned()).witnesses == ("witness.example/w1",)
        await bench.grow(*plains(3, 28))
        assert (await bench.cosigned()).witnesses == ("witness.example/w1",)
        one.away = False
        await bench.ledger.verify(against_log=False)
        assert (await bench.cosigned()).witnesses == ("witness.example/w0", "witness.example/w1")
        assert one.asked[-1] == 7
        assert one.bench.store.last("provost.local/main").size == 30  # type: ignore[union-attr]
        assert other.asked[-1] == 30


async def test_an_answer_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    """Killed between storing and answering, a witness is further than the ledger knows."""
    async with WatchedBench(tmp_path, ListedLog()).running() as bench:
        await bench.grow(*plains(7))
        await bench.cosigned()
        bench.witnesses[0].loses_answers = True
        await bench.grow(*plains(4, 8))
        assert (await bench.cosigned()).witnesses == ()
        bench.witnesses[0].bench.restart()
        bench.witnesses[0].loses_answers = False
        await bench.grow(*plains(4, 12))
        await bench.ledger.verify(against_log=False)
        assert len(cosigned((await bench.cosigned()).note, bench.keys)) == 1
        # From where it stood last, and then from where it says: by whoever asked first, its turn or the look at it.
        assert (7, 11) in pairwise(bench.witnesses[0].asked)


async def test_a_slow_one_delays_nobody(tmp_path: Path) -> None:
    async with WatchedBench(tmp_path, ListedLog()).running() as bench:
        await bench.grow(*plains(7))
        before = await bench.cosigned()
        bench.witnesses[0].gate.clear()
        await bench.grow(*plains(3, 8))
        assert await bench.ledger.proving.tree_head() == before, (
            "nobody need see a head that is still being signed"
        )
        covering = await bench.ledger.proving.tree_head(9)
        assert (covering.checkpoint.size, covering.witnesses) == (10, ())
        proving = bench.ledger.proving
        sizes = [(await proving.inclusion_at(index, 0)).head.checkpoint.size for index in (6, 7, 9)]
        assert sizes == [7, 10, 10], "whoever was told of a head of 10 may ask for its leaves"
        assert [(await proving.consistency(size, 0))[1] for size in (7, 10)] == [7, 10]
        with pytest.raises(LeafOutOfRange):
            await proving.inclusion_at(10, 0)
        bench.witnesses[0].gate.set()
        assert (await bench.cosigned()).checkpoint.size == 10
        assert (await bench.ledger.proving.tree_head()).witnesses == ("witness.example/w0",)


def has_answered(witness: NearWitness, times: int) -> bool:
    """So often, and is asked again."""
    return len(witness.asked) == times and witness.waiting


async def test_one_that_takes_longer_than_the_next_head_is_waited_for_by_nobody_and_still_shown(
    tmp_path: Path,
) -> None:
    async with WatchedBench(tmp_path, ListedLog(), count=2).running() as bench:
        await bench.grow(*plains(7))
        await bench.cosigned()
        slow = bench.witnesses[1]
        sizes = []
        for _ in range(3):
            slow.turns = turns = asyncio.Semaphore(0)
            await bench.grow(*plains(2, bench.ledger.position.last + 1))
            await until(lambda: slow.waiting, "the slow one was not asked")
            await bench.grow(*plains(1, bench.ledger.position.last + 1))
            answered = partial(has_answered, slow, len(slow.asked) + 1)
            turns.release()
            await until(answered, "it was not asked about the next")
            head = await bench.ledger.proving.tree_head()
            assert head.witnesses == ("witness.example/w0", "witness.example/w1")
            assert head.checkpoint.size == bench.ledger.position.size - 1
            sizes.append(head.checkpoint.size)
            turns.release()
            assert len((await bench.cosigned()).witnesses) == 2
        assert sizes == [9, 12, 15]


async def test_a_rewritten_history_is_refused_and_named_and_the_ledger_goes_on(tmp_path: Path) -> None:
    """Stream, database and signer's file are exchanged together, with the true key: inside, everything fits."""
    log = ListedLog(plains(20))
    bench = WatchedBench(tmp_path, log)
    async with bench.running():
        await bench.grow()
        await bench.cosigned()
    for size in (20, 26):
        forged: list[Message] = [*plains(10), plain(11, run="forged"), *plains(size - 11, 12)]
        log.messages[:] = forged
        for each in (*tmp_path.glob("ledger.db*"), tmp_path / "signer" / "head"):
            each.unlink()
        async with bench.running():
            await bench.grow()
            head = await bench.cosigned()
            assert (head.checkpoint.size, head.witnesses) == (size, ())
            findings = (await bench.ledger.verify(against_log=True)).findings
            (finding,) = [each for each in findings if not each.ok]
            assert finding.name == "witness"
            assert "witness.example/w0 does not sign" in finding.detail
            assert bench.ledger.diverged is None
            await bench.grow(plain(size + 1))
            assert (await bench.cosigned()).checkpoint.size == size + 1
            assert (await bench.cosigned()).witnesses == ()


async def test_one_history_shortened_everywhere_is_noticed_until_it_is_back(tmp_path: Path) -> None:
    log = ListedLog(plains(20))
    bench = WatchedBench(tmp_path, log)
    async with bench.running():
        await bench.grow()
        await bench.cosigned()
        for each in (bench.database, tmp_path / "signer" / "head"):
            shutil.copy(each, tmp_path / f"old-{each.name}")
        await bench.grow(*plains(5, 21))
        await bench.cosigned()
    for each in tmp_path.glob("ledger.db*"):
        each.unlink()
    (tmp_path / "signer" / "head").unlink()
    whole, log.messages[20:] = log.messages[:], []
    async with bench.running():
        await bench.grow()
        assert (await bench.cosigned()).witnesses == ()
        (finding,) = await verdict(bench)
        assert not finding.ok
        assert "it has signed a head over 25 events" in finding.detail
        await bench.grow(*whole[20:])
        await bench.cosigned()
        assert (await verdict(bench))[0].ok, "a log that was repaired is signed again"


async def test_a_head_that_stays_is_signed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a witness that has come to know another history is heard also while nothing happens."""
    monkeypatch.setattr(witnessing, "REFRESH_SECONDS", 0.02)
    async with WatchedBench(tmp_path, ListedLog()).running() as bench:
        await bench.grow(*plains(7))
        first = await bench.cosigned()
        witness = bench.witnesses[0].bench
        witness.at += timedelta(hours=1)
        await until(
            lambda: bench.witnessing.standings[0].at_seconds == int(witness.at.timestamp()), "not again"
        )
        assert (await bench.ledger.proving.tree_head()).checkpoint == first.checkpoint
        assert cosigned((await bench.ledger.proving.tree_head()).note, bench.keys)[0].at == int(
            witness.at.timestamp()
        )


class Hostile:
    """A witness that answers as it likes."""

    def __init__(self, real: WatchedBench, *answers: Answer) -> None:
        self.key = parse_witness_key(real.witnesses[0].bench.key.text)
        self._answers = answers
        self.asked = 0

    async def ask(self, old: int, path: object, note: str) -> Answer:
        self.asked += 1
        return self._answers[self.asked % len(self._answers)]


LINE = "— witness.example/w0 " + "A" * 104 + "\n"


@pytest.mark.parametrize(
    "answers",
    [
        (Cosigned(""),),
        (Cosigned("no line"),),
        (Cosigned(LINE),),
        (Cosigned("x" * 60000),),
        (Cosigned(LINE * 1000),),
        (Elsewhere(3), Elsewhere(5)),
    ],
)
async def test_what_is_no_signature_is_not_published(tmp_path: Path, answers: tuple[Answer, ...]) -> None:
    bench = WatchedBench(tmp_path, ListedLog())
    hostile = Hostile(bench, *answers)
    bench.witnesses = [hostile]  # type: ignore[list-item]
    async with bench.running():
        await bench.grow(*plains(7))
        await until(lambda: bool(bench.witnessing.standings[0].trouble), "it was believed")
        head = await bench.ledger.proving.tree_head()
        assert (head.witnesses, head.note.count("—")) == ((), 1)


async def test_without_witnesses_nothing_is_asked_and_nothing_said(tmp_path: Path) -> None:
    async with WatchedBench(tmp_path, ListedLog(), count=0).running() as bench:
        await bench.grow(*plains(7))
        assert await verdict(bench) == []
        async with asyncio.timeout(1):
            assert (await bench.ledger.proving.tree_head()).witnesses == ()


VKEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"


def test_the_setting_is_a_list_of_addresses_and_keys() -> None:
    assert parse_witnesses("") == []
    assert parse_witnesses(f"https://w.example/a {VKEY} , http://[::1]:7006 @/x/vkey,") == [
        ("https://w.example/a", VKEY),
        ("http://[::1]:7006", "@/x/vkey"),
    ]


@pytest.mark.parametrize(
    "setting",
    [
        VKEY,
        "https://w.example",
        f"w.example {VKEY}",
        f"ftp://w.example {VKEY}",
        f"https://w.example:port {VKEY}",
        f"https://user:hunter2@w.example {VKEY}",
        "https://user:hunter2@w.example",
        f"user:hunter2@w.example {VKEY}",
        f"https://w.example {VKEY[:-1]}",
        f"https://w.example {VKEY.replace('da77', 'da78')}",
        "https://w.example TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
    ],
)
def test_a_setting_that_names_no_witness_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="is not an address|the witness at|no password") as refused:
        parse_witnesses(setting)
    assert "hunter2" not in str(refused.value)
