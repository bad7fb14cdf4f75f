"""Events found by what is asked of them: by the index the blocks that may hold some, then their rows, each checked.

Written for any database and any driver: a search yields statements, is sent their rows, and returns what it found
(`run_search` drives one). It works a bounded amount: a page that ends early says where, and the next goes on there.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select, func, select

from services.ledger.adapters.schema import EVENT_IDS, EVENTS, POSITION, POSTINGS, SPANS
from services.ledger.domain import terms
from services.ledger.domain.entry import Entry, Row, read_row
from services.ledger.domain.questions import MAX_PAGE_BYTES, EventQuestion, Listed, Page
from services.ledger.domain.terms import BLOCK, Term, id_key, key_of, members_of, part_of, terms_of
from services.ledger.domain.understood import Understand

R = TypeVar("R")
Query = Select[Any]
Rows = Sequence[Sequence[Any]]
Search = Generator[Query, Rows, R]

MAX_BLOCKS = 16 + 128 + 4 * 512
"""How many blocks one page looks at, at most: half a million events, so that no page takes long that finds nothing."""
MAX_ROWS = 2000
"""How many rows one page reads, at most, to find those it answers."""
_BLOCKS_AT_ONCE = (16, 128, 512)
_ROWS_AT_ONCE = 64


def run_search(search: Search[R], execute: Callable[[Query], Rows]) -> R:
    """What a search finds, its statements run by `execute`."""
    try:
        query = next(search)
        while True:
            query = search.send(execute(query))
    except StopIteration as done:
        found: R = done.value
        return found


def event(tenant: str, event_id: str) -> Search[Entry | None]:
    """The first event of the tenant with this id: a message may have been published twice."""
    known = select(EVENT_IDS.c.sequence).where(EVENT_IDS.c.key == id_key(event_id))
    for first, last in (yield select(POSITION.c.first_seq, POSITION.c.last_seq)):
        known = known.where(EVENT_IDS.c.part.in_(range(part_of(first), part_of(last) + 1)))
    rows = yield select(EVENTS).where(EVENTS.c.sequence.in_(known)).order_by(EVENTS.c.sequence)
    entries = (read_row(Row(*row)) for row in rows)
    return next((each for each in entries if (each.event_id, each.tenant) == (event_id, tenant)), None)


def events(question: EventQuestion, page: Page, understand: Understand) -> Search[Listed[Entry]]:
    """A page of the events that are asked for.

    It may hold fewer than there is room for, even none, and still have an end to go on from: then it has looked at as
    much as one page may.
    """
    ((first, last),) = yield select(POSITION.c.first_seq, POSITION.c.last_seq)
    if not first:
        return Listed((), None)
    full = (last - first + 1) // BLOCK
    ahead = question.oldest_first
    low, high = 0, last - first
    if page.after is not None:
        after = int(page.after[0]) - first
        low, high = (max(low, after + 1), high) if ahead else (low, min(high, after - 1))
    reading = _Reading(question, page, understand, first)
    unfinished = range(max(low, full * BLOCK), high + 1)
    if not ahead and (yield from reading.read(reversed(unfinished))):
        return reading.listed
    blocks = _Blocks(low // BLOCK, min(high // BLOCK, full - 1))
    groups = groups_of(question)
    if question.from_us is not None or question.to_us is not None:
        ((earliest, latest),) = yield _timely(question)
        if earliest is None:
            earliest, latest = 1, 0
        blocks = _Blocks(max(blocks.first, earliest), min(blocks.last, latest))
    for n in range(MAX_BLOCKS):
        if blocks.first > blocks.last:
            break
        at_once = _BLOCKS_AT_ONCE[min(n, len(_BLOCKS_AT_ONCE) - 1)]
        if reading.looked_at + at_once > MAX_BLOCKS:
            return reading.cut(blocks.first * BLOCK - 1 if ahead else (blocks.last + 1) * BLOCK)
        found, blocks = yield from _look(question, groups, blocks, at_once)
        reading.looked_at += at_once
        leaves = _leaves(found, ahead)
        if (yield from reading.read(leaf for leaf in leaves if low <= leaf <= high)):
            return reading.listed
    if ahead:
        yield from reading.read(unfinished)
    return reading.listed


def groups_of(question: EventQuestion) -> list[list[int]]:
    """What the index is asked: an event bears at least one of every group. Those that are rare as a rule come first."""
    tenant = question.tenant
    asked = (
        (terms.CORRELATION, question.correlation_id),
        (terms.RUN, question.run_id),
        (terms.TASK, question.task_id),
        (terms.AGGREGATE_ID, question.aggregate_id),
        (terms.ACTION, question.action),
        (terms.AGENT, question.agent_id),
        (terms.ACTOR, question.actor),
        (terms.DECISION, question.decision),
        (terms.EVENT_TYPE, question.event_type),
        (terms.AGGREGATE, question.aggregate),
        (terms.CONTEXT, question.context),
    )
    found = [[key_of((kind, tenant, value))] for kind, value in asked if value]
    return found or [[key_of((terms.TENANT, tenant, ""))]]


def matches(question: EventQuestion, entry: Entry, understand: Understand) -> bool:
    """Whether an event is one of those that are asked for, whatever the index said."""
    if entry.tenant != question.tenant:
        return False
    for name in ("context", "aggregate", "aggregate_id", "event_type", "correlation_id", "actor"):
        wanted = getattr(question, name)
        if wanted and getattr(entry, name) != wanted:
            return False
    if question.from_us is not None and (entry.at_us is None or entry.at_us < question.from_us):
        return False
    if question.to_us is not None and (entry.at_us is None or entry.at_us >= question.to_us):
        return False
    linked: list[Term] = [
        (kind, question.tenant, value)
        for kind, value in (
            (terms.AGENT, question.agent_id),
            (terms.RUN, question.run_id),
            (terms.TASK, question.task_id),
            (terms.ACTION, question.action),
            (terms.DECISION, question.decision),
        )
        if value
    ]
    return not linked or terms_of(entry, understand(entry).links).issuperset(linked)


class _Blocks(NamedTuple):
    """The blocks from `first` to `last`, both included."""

    first: int
    last: int


class _Reading:
    """Rows read and checked until a page is full."""

    def __init__(self, question: EventQuestion, page: Page, understand: Understand, first: int) -> None:
        self._question = question
        self._page = page
        self._understand = understand
        self._first = first
        self._found: list[Entry] = []
        self._n_bytes = self._read = 0
        self._end: int | None = None
        self.looked_at = 0

    @property
    def listed(self) -> Listed[Entry]:
        return Listed(tuple(self._found), None if self._end is None else (self._end,))

    def cut(self, leaf: int) -> Listed[Entry]:
        """The page as it is, to go on behind `leaf`."""
        self._end = self._first + leaf
        return self.listed

    def read(self, leaves: Iterable[int]) -> Search[bool]:
        """Read these; whether the page is at its end."""
        sequences = (self._first + leaf for leaf in leaves)
        while some := list(islice(sequences, _ROWS_AT_ONCE)):
            stored = {row[0]: row for row in (yield select(EVENTS).where(EVENTS.c.sequence.in_(some)))}
            for sequence in some:
                if sequence in stored and self._full(read_row(Row(*stored[sequence]))):
                    return True
            self._read += len(some)
            if self._read >= MAX_ROWS:
                self._end = some[-1]
                return True
        return False

    def _full(self, entry: Entry) -> bool:
        if not matches(self._question, entry, self._understand):
            return False
        self._n_bytes += len(entry.header) + len(entry.payload)
        if self._found and (len(self._found) == self._page.size or self._n_bytes > MAX_PAGE_BYTES):
            self._end = self._found[-1].sequence
            return True
        self._found.append(entry)
        return False


def _look(
    question: EventQuestion, groups: Sequence[Sequence[int]], blocks: _Blocks, at_once: int
) -> Search[tuple[list[tuple[int, int]], _Blocks]]:
    """The next blocks that may hold some, each with its candidates as a bitmap, and the blocks that are left."""
    ahead = question.oldest_first
    driver, *others = groups
    at_once = max(at_once, len(driver) + 1)  # more than one block's
    place = POSTINGS.c.block
    query = select(place, POSTINGS.c.members).where(POSTINGS.c.term.in_(driver), place.between(*blocks))
    rows = yield query.order_by(place if ahead else place.desc()).limit(at_once)
    candidates = _merged(rows)
    left = _Blocks(1, 0)
    if len(rows) == at_once:
        # The last one may bear another term of the driver that is behind the limit: it is looked at again.
        reached = rows[-1][0]
        if len(driver) > 1:
            del candidates[reached]
            reached += -1 if ahead else 1
        left = _Blocks(reached + 1, blocks.last) if ahead else _Blocks(blocks.first, reached - 1)
    for group in others:
        if candidates:
            query = select(place, POSTINGS.c.members)
            also = _merged((yield query.where(POSTINGS.c.term.in_(group), _among(place, candidates))))
            candidates = {
                block: both for block, some in candidates.items() if (both := some & also.get(block, 0))
            }
    if candidates and (question.from_us is not None or question.to_us is not None):
        spans = select(SPANS.c.block).where(_among(SPANS.c.block, candidates))
        if question.from_us is not None:
            spans = spans.where(SPANS.c.to_us >= question.from_us)
        if question.to_us is not None:
            spans = spans.where(SPANS.c.from_us < question.to_us)
        timely = {block for (block,) in (yield spans)}
        candidates = {block: some for block, some in candidates.items() if block in timely}
    return sorted(candidates.items(), reverse=not ahead), left


def _among(column: "ColumnElement[int]", blocks: Collection[int]) -> "ColumnElement[bool]":
    """Those of `blocks`; perhaps more of their range where they are most of it, which is asked for more quickly."""
    first, last = min(blocks), max(blocks)
    return column.between(first, last) if 2 * len(blocks) > last - first else column.in_(blocks)


def _timely(question: EventQuestion) -> Query:
    """The first and the last block whose span overlaps the time that is asked for."""
    query = select(func.min(SPANS.c.block), func.max(SPANS.c.block))
    if question.from_us is not None:
        query = query.where(SPANS.c.to_us >= question.from_us)
    return query if question.to_us is None else query.where(SPANS.c.from_us < question.to_us)


def _merged(rows: Rows) -> dict[int, int]:
    candidates: dict[int, int] = {}
    for block, members in rows:
        candidates[block] = candidates.get(block, 0) | members_of(members)
    return candidates


def _leaves(found: Iterable[tuple[int, int]], ahead: bool) -> Iterator[int]:
    for block, bitmap in found:
        begin = block * BLOCK
        members = [begin + n for n in range(BLOCK) if bitmap >> n & 1]
        yield from members if ahead else reversed(members)
