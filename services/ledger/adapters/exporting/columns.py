"""Rows as Parquet, zstd, a group of rows at a time. Imported only by the process that exports."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Protocol, cast

from arro3.core import (
    Array,
    DataType,
    Field,
    RecordBatch,
    RecordBatchReader,
    Schema,
    list_array,
    struct_array,
)
from arro3.io import write_parquet

from services.ledger.domain.entry import microseconds
from services.ledger.wire.rows import Row

_ROWS_AT_ONCE = 2048  # a group of rows is held until it is whole
_BYTES_AT_ONCE = 16 * 1024 * 1024
_HEADER = (
    Field("name", DataType.string(), nullable=False),
    Field("value", DataType.string(), nullable=False),
)
_HEADERS = DataType.list(Field("item", DataType.struct(list(_HEADER)), nullable=False))
SCHEMA = Schema(
    [
        Field("sequence", DataType.int64(), nullable=False),
        Field("leaf_index", DataType.int64(), nullable=False),
        Field("leaf_hash", DataType.binary(32), nullable=False),
        Field("subject", DataType.string(), nullable=False),
        Field("id", DataType.string()),
        Field("type", DataType.string()),
        Field("time", DataType.timestamp("us", tz="UTC")),
        Field("headers", _HEADERS, nullable=False),
        Field("header_block", DataType.binary()),
        Field("payload", DataType.binary(), nullable=False),
        Field("decoded", DataType.string()),
    ]
)


class Writable(Protocol):
    def write(self, data: bytes) -> int: ...


class _Sink:
    """A file as the library wants it; it asks whether it could seek, and never does."""

    def __init__(self, file: Writable) -> None:
        self.write = file.write

    def flush(self) -> None:
        """Nothing is held back here."""

    def seek(self, *_: int) -> int:
        raise OSError("what is exported is only ever appended to")


def write_rows(rows: Iterable[Row], file: Writable) -> None:
    """All of `rows` as one Parquet file; the same rows give the same bytes."""
    batches = RecordBatchReader.from_batches(SCHEMA, map(_batch, _grouped(rows)))
    write_parquet(
        batches,
        cast(IO[bytes], _Sink(file)),
        compression="zstd(3)",
        max_row_group_size=_ROWS_AT_ONCE,
        created_by="provost export v1",
    )


def _grouped(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    n_bytes = 0
    for row in rows:
        group.append(row)
        n_bytes += len(row.payload) + len(row.decoded or "")
        if len(group) >= _ROWS_AT_ONCE or n_bytes >= _BYTES_AT_ONCE:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group


def _batch(rows: list[Row]) -> RecordBatch:
    def column(name: str, values: Iterable[object]) -> Array:
        return Array(list(values), SCHEMA.field(name).type)

    times = Array([_microseconds(each.time) for each in rows], DataType.int64())
    return RecordBatch(
        [
            column("sequence", (each.sequence for each in rows)),
            column("leaf_index", (each.leaf_index for each in rows)),
            column("leaf_hash", (each.leaf_hash for each in rows)),
            column("subject", (each.subject for each in rows)),
            column("id", (each.id for each in rows)),
            column("type", (each.type for each in rows)),
            times.cast(SCHEMA.field("time").type),
            _headers(rows),
            column("header_block", (each.header_block for each in rows)),
            column("payload", (each.payload for each in rows)),
            column("decoded", (each.decoded for each in rows)),
        ],
        schema=SCHEMA,
    )


def _headers(rows: list[Row]) -> Array:
    ends = [0]
    names: list[str] = []
    values: list[str] = []
    for row in rows:
        names += row.headers
        values += row.headers.values()
        ends.append(len(names))
    name, value = _HEADER
    pairs = struct_array([Array(names, name), Array(values, value)], fields=list(_HEADER))
    return list_array(Array(ends, DataType.int32()), pairs, type=SCHEMA.field("headers"))


def _microseconds(time: str | None) -> int | None:
    try:
        at = datetime.fromisoformat(time or "")
    except ValueError:
        return None
    return microseconds(at.astimezone(UTC)) if at.tzinfo else None
