"""Parquet of an export, compared row by row with the JSON Lines beside it. Imported only to read it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from arro3.core import Array, DataType, Field, RecordBatch, Schema, list_array, struct_array
from arro3.io import read_parquet

from provost_sdk.exports.rows import Row, microseconds
from provost_sdk.note import NotProved

_ROWS_AT_ONCE = 2048
_HEADER = [
    Field("name", DataType.string(), nullable=False),
    Field("value", DataType.string(), nullable=False),
]
_TIME = DataType.timestamp("us", tz="UTC")
_SCHEMA = Schema(
    [
        Field("sequence", DataType.int64(), nullable=False),
        Field("leaf_index", DataType.int64(), nullable=False),
        Field("leaf_hash", DataType.binary(32), nullable=False),
        Field("subject", DataType.string(), nullable=False),
        Field("id", DataType.string()),
        Field("type", DataType.string()),
        Field("time", _TIME),
        Field(
            "headers", DataType.list(Field("item", DataType.struct(_HEADER), nullable=False)), nullable=False
        ),
        Field("header_block", DataType.binary()),
        Field("payload", DataType.binary(), nullable=False),
        Field("decoded", DataType.string()),
    ]
)


class Compared:
    """The Parquet file `name` in `path`, against rows that are handed in one by one. Everything may raise NotProved."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._batches = _read(path, name)
        self._batch = next(self._batches, None)
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """The next row."""
        if self._batch is None:
            raise NotProved(f"{self._name} ends before leaf {row.leaf_index}")
        self._rows.append(row)
        if len(self._rows) == self._batch.num_rows:
            self._compare(self._batch)
            self._rows = []
            self._batch = next(self._batches, None)

    def end(self) -> None:
        """There are no more rows."""
        if self._batch is not None:
            raise NotProved(f"{self._name} has more rows than there are events")

    def _compare(self, batch: RecordBatch) -> None:
        made = _batch(self._rows)
        for name in _SCHEMA.names:
            if batch.column(name) == made.column(name):
                continue
            for n, row in enumerate(self._rows):
                if batch.column(name).slice(n, 1) != made.column(name).slice(n, 1):
                    raise NotProved(f"{self._name} and the JSON differ: {name} of leaf {row.leaf_index}")
            raise NotProved(f"{self._name} and the JSON differ: {name}")


def _read(path: Path, name: str) -> Iterator[RecordBatch]:
    try:
        reader = read_parquet(path, batch_size=_ROWS_AT_ONCE)
        if reader.schema.remove_metadata() != _SCHEMA:
            raise NotProved(f"{name} does not have the columns of an export")
        for batch in reader:
            if batch.num_rows:
                yield batch
    except (NotProved, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as problem:  # noqa: BLE001 - the library may also panic, which is no Exception
        raise NotProved(f"{name} cannot be read as Parquet: {problem}") from None


def _batch(rows: list[Row]) -> RecordBatch:
    values = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    times = Array([microseconds(each) for each in values["time"]], DataType.int64())
    made = {"time": times.cast(_TIME), "headers": _headers(values["headers"])}
    return RecordBatch(
        [
            made[each] if each in made else Array(values[each], _SCHEMA.field(each).type)
            for each in _SCHEMA.names
        ],
        schema=_SCHEMA,
    )


def _headers(each: Sequence[dict[str, str]]) -> Array:
    names: list[str] = []
    values: list[str] = []
    ends = [0]
    for headers in each:
        names.extend(headers)
        values.extend(headers.values())
        ends.append(len(names))
    pairs = struct_array([Array(names, _HEADER[0]), Array(values, _HEADER[1])], fields=_HEADER)
    return list_array(Array(ends, DataType.int32()), pairs, type=_SCHEMA.field("headers"))
