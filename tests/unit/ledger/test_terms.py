"""The index of terms and blocks, and what an event is found by."""

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.entry import Message, entry_of
from services.ledger.domain.heads import DAY_US, HOUR_US, superfluous
from services.ledger.domain.terms import BLOCK, NO_LINKS, Block, Links, key_of, members_of, terms_of
from services.ledger.wire.understanding import understand
from tests.unit.ledger.story import plain, plains, run


def found(block: Block) -> dict[int, int]:
    return {each.term: members_of(each.members) for each in block.postings()}


@given(st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=5), min_size=BLOCK, max_size=BLOCK))
def test_a_block_says_exactly_who_bears_a_term(borne: list[set[str]]) -> None:
    block = Block(7)
    for n, names in enumerate(borne):
        assert not block.full
        block.add([("actor", "default", name) for name in names], n)
    assert block.full
    bitmaps = found(block)
    for name in "abcdefgh":
        expected = sum(1 << n for n, names in enumerate(borne) if name in names)
        assert bitmaps.get(key_of(("actor", "default", name)), 0) == expected
    assert {each.block for each in block.postings()} <= {7}
    assert block.span() == (7, 0, BLOCK - 1)


def test_taking_an_event_is_adding_its_terms() -> None:
    messages = [
        *run(),
        *run("acme", first=10),
        *plains(100, first=19),
        *(plain(n, run=f"run-{n % 3}") for n in range(119, 200)),
        *(Message(n, "evt.x", b"", b"") for n in range(200, 257)),
    ]
    assert len(messages) == BLOCK
    taken, added = Block(0), Block(0)
    for each in messages:
        entry = entry_of(each)
        links = understand(entry).links
        taken.take(entry, links)
        added.add(terms_of(entry, links), entry.at_us)
    assert taken.postings() == added.postings()
    assert taken.span() == added.span()


def test_an_event_without_a_time_has_no_part_in_a_span() -> None:
    block = Block(0)
    for _ in range(BLOCK):
        block.add([], None)
    assert block.span() == (0, None, None)
    assert block.postings() == []


def test_whose_an_event_is() -> None:
    made = entry_of(run()[2])
    terms = terms_of(made, understand(made).links)
    for kind, value in (("agent", "sre-1"), ("run", "run-1"), ("task", "task-1"), ("correlation", "run-1")):
        assert (kind, "default", value) in terms
    by_agent = made._replace(actor="agent:sre-9", correlation_id="")
    assert ("agent", "default", "sre-9") in terms_of(by_agent, NO_LINKS)
    assert not [term for term in terms_of(by_agent, NO_LINKS) if term[0] in {"run", "task"}]
    assert ("run", "default", "r") in terms_of(by_agent, Links(runs=("r",)))


@given(st.lists(st.integers(0, 5 * DAY_US), max_size=200).map(sorted))
def test_of_old_heads_the_last_of_every_hour_stays(times: list[int]) -> None:
    heads = list(enumerate(times, 1))
    gone = set(superfluous(heads))
    kept = [at_us for size, at_us in heads if size not in gone]
    assert {at_us // HOUR_US for at_us in kept} == {at_us // HOUR_US for at_us in times}
    newest = times[-1] if times else 0
    assert [at_us for at_us in times if at_us >= newest - DAY_US] == [
        at_us for at_us in kept if at_us >= newest - DAY_US
    ]
    old = [at_us // HOUR_US for at_us in kept if at_us < newest - DAY_US]
    assert len(old) == len(set(old))
