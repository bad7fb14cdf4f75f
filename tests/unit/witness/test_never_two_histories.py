"""Whatever is asked, in whatever order, with restarts between: what a witness has signed is one history."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sdk.log import SmallLog
from tests.unit.witness.words import Bench, forked, request

LOG = SmallLog(12)
HISTORIES = [LOG, forked(LOG, 0), forked(LOG, 4), forked(LOG, 9)]
Asked = tuple[int, int, int, int, bool]
SIZES = st.integers(0, 12)
ASKED = st.one_of(
    st.none(),  # a restart
    st.tuples(
        st.sampled_from(range(len(HISTORIES))),  # whose head
        SIZES,
        st.sampled_from(range(len(HISTORIES))),  # whose proof
        SIZES,
        st.booleans(),  # from where the witness says it stands, or from the size drawn
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ASKED, max_size=25))
def test_what_it_has_signed_is_one_history(asked: list[Asked | None]) -> None:
    asyncio.run(_ask(asked))


async def _ask(asked: list[Asked | None]) -> None:
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(Path(home), LOG.vkey)
        signed: list[tuple[int, str]] = []
        for each in asked:
            bench.seconds += 60
            if each is None:
                bench.restart()
                continue
            head_of, size, proof_of, old, honest = each
            if honest:
                old = max((kept["size"] for kept in (await bench.heads())["heads"]), default=0)
            proof = HISTORIES[proof_of].growth(old, size) if 0 < old < size else []
            checkpoint = HISTORIES[head_of].checkpoint(size)
            status, _ = await bench.add(request(old, proof, checkpoint))
            assert status in {200, 400, 409, 422}
            if status == 200:
                signed.append((size, checkpoint))
        bench.store.close()
        assert [size for size, _ in signed] == sorted(size for size, _ in signed), "it went back"
        told = [
            history
            for history in HISTORIES
            if all(checkpoint == history.checkpoint(size) for size, checkpoint in signed)
        ]
        assert told, f"no one history has all of {signed}"
