"""The growing edge of a book: messages in, everything that is to be written out, whatever the database."""

from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple

from services.ledger.domain import tree
from services.ledger.domain.entry import Message, Row, read_row, taken
from services.ledger.domain.facts import Told
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.terms import BLOCK, Block, KnownId, Posting, Span, known_id
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH, Frontier, Tile
from services.ledger.domain.understood import Understand

_NOTHING: tuple[()] = ()


class Batch(NamedTuple):
    """What one transaction writes. `ids` are rows of `event_ids`; they and postings are ordered by key."""

    position: Position
    rows: Sequence[Row] = _NOTHING
    ids: Sequence[KnownId] = _NOTHING
    tiles: Sequence[Tile] = _NOTHING
    postings: Sequence[Posting] = _NOTHING
    spans: Sequence[Span] = _NOTHING
    told: Sequence[Told] = _NOTHING


class Edge:
    """Where a book ends: its position, the tree's frontier, and the block that is being filled.

    `rows` are those behind the last full block, `upper` the hashes of the frontier's levels above the leaves. `take`
    moves the edge at once: when its batch cannot be written, the edge is worthless; make another of what is stored.

    Raises:
        LedgerDiverged: rows, hashes and position do not add up.
    """

    def __init__(
        self, position: Position, rows: Sequence[Row], upper: Sequence[bytes], understand: Understand
    ) -> None:
        leaves = b"".join(row.leaf_hash for row in rows)
        levels = (leaves, *upper) if position.size else ()
        wanted = [pending for _, pending in levels_of(position.size)]
        if [len(each) for each in levels] != [pending * HASH_BYTES for pending in wanted]:
            raise LedgerDiverged(f"the tree that is stored does not fit its position {position.last}")
        self._frontier = Frontier(position.size, levels)
        if tree.root_of(self._frontier) != position.root:
            raise LedgerDiverged("the tree that is stored has another root than its position says")
        self.position = position
        self._understand = understand
        self._block = Block(position.size // BLOCK)
        for row in rows:
            entry = read_row(row)
            self._block.take(entry, understand(entry).links)

    def take(self, messages: Sequence[Message]) -> Batch:
        """What is to be written for `messages`; those that are there already are passed over.

        Raises:
            LedgerDiverged: they leave a gap.
        """
        old = self.position
        messages = [each for each in messages if each.sequence > old.last]
        if not messages:
            return Batch(old)
        begin = old.last + 1 if old.first else messages[0].sequence
        if [each.sequence for each in messages] != list(range(begin, begin + len(messages))):
            raise LedgerDiverged(
                f"the log has a gap: {begin} was to come, {messages[0].sequence} came", begin
            )
        rows: list[Row] = []
        ids, told, postings, spans = [], [], [], []
        understand, block = self._understand, self._block
        for each in messages:
            row, entry = taken(each)
            rows.append(row)
            ids.append((entry.event_id, entry.sequence))
            fact, links = understand(entry)
            if fact is not None:
                told.append(Told(entry.tenant, entry.sequence, entry.event_id, fact, entry.actor))
            block.take(entry, links)
            if block.full:
                postings.extend(block.postings())
                spans.append(block.span())
                block = Block(block.number + 1)
        self._block = block
        self._frontier, tiles = tree.grow(self._frontier, [row.leaf_hash for row in rows])
        self.position = Position(old.first or begin, messages[-1].sequence, tree.root_of(self._frontier))
        return Batch(
            self.position, rows, sorted(starmap(known_id, ids)), tiles, sorted(postings), spans, told
        )


def levels_of(size: int) -> list[tuple[int, int]]:
    """For each level of a tree, from the leaves up: how many full tiles it has, and how many hashes behind them."""
    found = []
    while size:
        full, pending = divmod(size, TILE_WIDTH)
        found.append((full, pending))
        size = full
    return found
