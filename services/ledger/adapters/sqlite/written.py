"""What one transaction writes, in a shape that goes from one process to another quickly: rows of a table end to end."""

import copyreg
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Table

from services.ledger.adapters.schema import EVENT_IDS, EVENTS, POSTINGS, SPANS, TILES
from services.ledger.domain import facts
from services.ledger.domain.facts import Told
from services.ledger.domain.growth import Batch
from services.ledger.domain.position import Position

Flat = tuple[Any, ...]
"""The values of many rows, one row after another."""
TABLES: tuple[Table, ...] = (EVENTS, EVENT_IDS, TILES, POSTINGS, SPANS)
_FACTS = tuple(each for each in vars(facts).values() if hasattr(each, "__dataclass_fields__"))


class Written(NamedTuple):
    """A batch that goes on from `old`; `rows` are those of each of `TABLES`."""

    old: Position
    new: Position
    rows: tuple[Flat, ...]
    told: Sequence[Told]


def written(old: Position, batch: Batch) -> Written:
    """What is to be written of a batch."""
    tiles = [(each.level, each.index, each.hashes, each.root) for each in batch.tiles]
    rows = (batch.rows, batch.ids, tiles, batch.postings, batch.spans)
    return Written(old, batch.position, tuple(map(_flat, rows)), batch.told)


def packed(each: Written) -> Flat:
    """As values that `marshal` takes."""
    return _values(each.old), _values(each.new), each.rows, pickle.dumps(each.told, protocol=5)


def unpacked(value: Flat) -> Written:
    """What `packed` was made of, by a process of the same program."""
    old, new, rows, told = value
    return Written(Position(*old), Position(*new), rows, pickle.loads(told))  # noqa: S301 - our own end


def _flat(rows: Iterable[Sequence[object]]) -> Flat:
    return tuple(chain.from_iterable(rows))


def _values(position: Position) -> Flat:
    return position.first, position.last, position.root


def _reducer(kind: type[Any]) -> Callable[[Any], tuple[type[Any], Flat]]:
    """Made again by its constructor: what dataclasses do by themselves takes four times as long."""
    names = [field.name for field in fields(kind)]
    if len(names) == 1:
        (only,) = names
        return lambda fact: (kind, (getattr(fact, only),))
    values = attrgetter(*names)
    return lambda fact: (kind, values(fact))


for _kind in _FACTS:
    copyreg.pickle(_kind, _reducer(_kind))
