"""The witness: every answer of C2SP tlog-witness, and that it never signs two histories."""

import asyncio
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from provost_sdk.cosignatures import Cosignature, cosigned
from services.ledger.witness.domain import MAX_REQUEST_BYTES
from tests.unit.sdk.log import SmallLog
from tests.unit.witness.words import AT, Bench, forked, grown, request

LOG = SmallLog(30)
AT_SECONDS = int(AT.timestamp())
ROOT = b64decode(LOG.checkpoint(30).split("\n")[2]).hex()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, LOG.vkey)


async def test_it_signs_what_grows_and_only_with_its_own_key(bench: Bench) -> None:
    for old, new in ((0, 3), (3, 8), (8, 8), (8, 21), (21, 30)):
        status, line = await bench.add(grown(LOG, old, new))
        assert status == 200
        note = LOG.checkpoint(new) + line
        assert cosigned(note, [bench.trusted_key]) == [Cosignature("witness.example/w1", AT_SECONDS)]
    (kept,) = (await bench.heads())["heads"]
    assert (kept["size"], kept["root"], kept["at"]) == (30, ROOT, AT_SECONDS)


async def test_a_head_signed_again_bears_the_time_of_now(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    bench.at = AT.replace(hour=13)
    _, line = await bench.add(grown(LOG, 8, 8))
    assert cosigned(LOG.checkpoint(8) + line, [bench.trusted_key])[0].at == AT_SECONDS + 3600


async def test_another_size_is_answered_with_the_one_it_knows(bench: Bench) -> None:
    assert await bench.ask("POST", "/add-checkpoint", grown(LOG, 3, 8)) == (409, "text/x.tlog.size", "0\n")
    await bench.add(grown(LOG, 0, 8))
    for body in (grown(LOG, 0, 21), grown(LOG, 3, 21), grown(LOG, 21, 30), grown(LOG, 3, 8)):
        assert await bench.ask("POST", "/add-checkpoint", body) == (409, "text/x.tlog.size", "8\n")
    assert (await bench.add(grown(LOG, 8, 21)))[0] == 200


async def test_it_does_not_go_back(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 21))
    assert await bench.add(request(21, [], LOG.checkpoint(8))) == (
        400,
        "the old size 21 is larger than the head's, 8\n",
    )
    assert await bench.add(grown(LOG, 8, 8)) == (409, "21\n")


@pytest.mark.parametrize("at", [0, 3, 7])
async def test_another_history_is_refused_though_the_log_has_signed_it(bench: Bench, at: int) -> None:
    await bench.add(grown(LOG, 0, 8))
    other = forked(LOG, at)
    assert (await bench.add(grown(other, 8, 21)))[0] == 422
    assert (await bench.add(request(8, LOG.growth(8, 21), other.checkpoint(21))))[0] == 422
    assert await bench.add(grown(other, 8, 8)) == (409, "8\n")
    shown = await bench.heads()
    assert [each["size"] for each in shown["heads"]] == [8]
    assert {each["size"]: each["checkpoint"] for each in shown["refused"]} == {
        8: other.checkpoint(8),
        21: other.checkpoint(21),
    }
    assert (await bench.add(grown(LOG, 8, 21)))[0] == 200


async def test_of_two_histories_shown_to_two_clients_one_is_signed(bench: Bench) -> None:
    """Whoever asks for this witness's signature sees the history that was shown first, and no other."""
    other = forked(LOG, 5)
    one = await bench.add(grown(LOG, 0, 21))
    two = await bench.add(grown(other, 0, 21))
    assert (one[0], two) == (200, (409, "21\n"))
    assert (await bench.add(grown(other, 21, 30)))[0] == 422


@pytest.mark.parametrize(
    "change", [lambda path: path[:-1], lambda path: [*path, bytes(32)], lambda path: [bytes(32), *path[1:]]]
)
async def test_a_proof_that_does_not_hold_is_refused(bench: Bench, change: object) -> None:
    await bench.add(grown(LOG, 0, 7))
    path = LOG.growth(7, 21)
    body = request(7, change(path), LOG.checkpoint(21))  # type: ignore[operator]
    assert (await bench.add(body))[0] == 422
    assert (await bench.add(request(7, [bytes(32)], LOG.checkpoint(7))))[0] == 422


async def test_a_first_head_needs_an_empty_proof_and_an_empty_tree_its_own_root(bench: Bench) -> None:
    assert (await bench.add(request(0, [bytes(32)], LOG.checkpoint(8))))[0] == 422
    forged = LOG.sign(f"{LOG.origin}\n0\n{b64encode(bytes(32)).decode()}\n")
    assert await bench.add(request(0, [], forged)) == (409, "0\n")
    assert (await bench.add(grown(LOG, 0, 0)))[0] == 200
    assert (await bench.add(grown(LOG, 0, 8)))[0] == 200


async def test_an_unknown_log_and_an_unknown_key_are_told_apart(bench: Bench) -> None:
    assert (await bench.add(grown(SmallLog(8, "other.example/log"), 0, 8)))[0] == 404
    assert (await bench.add(grown(SmallLog(8), 0, 8)))[0] == 403
    edited = grown(LOG, 0, 8).replace(b"\n8\n", b"\n9\n", 1)
    assert (await bench.add(edited))[0] == 403
    assert (await bench.heads())["heads"] == []


async def test_a_log_whose_key_is_changed_is_followed_by_either_key(tmp_path: Path) -> None:
    new_key = SmallLog(30)
    bench = Bench(tmp_path, f"{LOG.vkey},@{tmp_path / 'keys.txt'}")
    await bench.add(grown(LOG, 0, 8))
    assert (await bench.add(grown(new_key, 8, 21)))[0] == 403
    (tmp_path / "keys.txt").write_text(f"# the key from July on\n{new_key.vkey}\n")
    assert (await bench.add(grown(new_key, 8, 21)))[0] == 200
    both = LOG.checkpoint(30) + new_key.checkpoint(30).rpartition("\n\n")[2]
    assert (await bench.add(request(21, LOG.growth(21, 30), both)))[0] == 200
    (tmp_path / "keys.txt").write_text("half a key")
    assert (await bench.add(grown(new_key, 30, 30)))[0] == 200, "a file that cannot be read changes nothing"


async def test_extension_lines_are_signed_with_the_rest(bench: Bench) -> None:
    text = LOG.checkpoint(8).partition("\n\n")[0] + "\nan extension\n"
    status, line = await bench.add(request(0, [], LOG.sign(text)))
    assert status == 200
    assert cosigned(LOG.sign(text) + line, [bench.trusted_key])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 0\n\n",
        b"old 00\n\n" + LOG.checkpoint(8).encode(),
        b"old -1\n\n" + LOG.checkpoint(8).encode(),
        b"new 0\n\n" + LOG.checkpoint(8).encode(),
        b"old 0\nAAAA\n\n" + LOG.checkpoint(8).encode(),
        b"old 0\r\n\r\n" + LOG.checkpoint(8).encode(),
        b"old 9\n\n" + LOG.checkpoint(8).encode(),
        request(0, [bytes(32)] * 64, LOG.checkpoint(8)),
        b"old 0\n\n" + LOG.checkpoint(8).partition("\n\n")[0].encode() + b"\n",
        b"old 0\n\n" + LOG.checkpoint(8).replace("\n8\n", "\n08\n").encode(),
        b"old 0\n\n" + LOG.checkpoint(8).replace("\n8\n", "\n8\x1b\n").encode(),
        b"old 0\n\n" + LOG.sign(f"{LOG.origin}\n8\n").encode(),
        b"old 0\n\n\xff\xfe",
    ],
    ids=[
        *("nothing", "no end", "no checkpoint", "size with a zero", "negative", "other word", "short hash"),
        *("other ends of lines", "older than it says", "too long a proof", "no signature"),
        *("tree size with a zero", "control character", "no root", "no text"),
    ],
)
async def test_what_is_no_request_is_called_so(bench: Bench, body: bytes) -> None:
    status, text = await bench.add(body)
    assert status == 400, text
    assert (await bench.heads())["heads"] == []


async def test_a_request_has_a_limit_and_may_come_in_pieces(bench: Bench) -> None:
    assert (await bench.add(b"x" * (MAX_REQUEST_BYTES + 1), pieces=1000))[0] == 413
    assert (await bench.add(grown(LOG, 0, 8), pieces=7))[0] == 200


async def test_one_caller_does_not_use_up_what_others_may_ask(bench: Bench) -> None:
    answers = [(await bench.add(b"nonsense"))[0] for _ in range(70)]
    assert answers[:60] == [400] * 60
    assert 429 in answers
    assert (await bench.add(grown(LOG, 0, 8), client="10.0.0.2"))[0] == 200
    bench.seconds += 5
    assert (await bench.add(grown(LOG, 8, 8)))[0] == 200


async def test_other_paths_and_verbs_are_told_what_there_is(bench: Bench) -> None:
    assert (await bench.ask("GET", "/healthz"))[::2] == (200, "ok\n")
    assert (await bench.ask("GET", "/add-checkpoint"))[0] == 405
    assert (await bench.ask("GET", "/etc/passwd"))[0] == 404


async def test_of_many_that_ask_at_once_each_is_judged_by_the_one_before(bench: Bench) -> None:
    await bench.add(grown(LOG, 0, 8))
    sizes = [9, 30, 12, 8, 25, 30, 10]
    answers = await asyncio.gather(*(bench.add(grown(LOG, 8, size)) for size in sizes))
    signed = [size for size, (status, _) in zip(sizes, answers, strict=True) if status == 200]
    assert signed[0] == 9
    assert set(signed) <= {8, 9}, "the others began at a head that was the last no more"
    assert all(status == 409 for size, (status, _) in zip(sizes, answers, strict=True) if size not in signed)
    assert (await bench.heads())["heads"][0]["size"] == 9
