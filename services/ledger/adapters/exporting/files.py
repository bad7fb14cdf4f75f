"""Messages in, files out: rows, leaves and tiles made in one pass, every tile computed anew from the messages."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice

from services.ledger.domain import export, tree
from services.ledger.domain.entry import Message
from services.ledger.domain.export import Filed, Piece, Plan
from services.ledger.domain.leaf import header_lines, leaf_data, leaf_hash
from services.ledger.domain.tiles import bundled
from services.ledger.domain.tree import HASH_BYTES, TILE_WIDTH, Frontier
from services.ledger.wire.rows import Row, line_of, row_of

_PIECE_BYTES = 256 * 1024


class WrongMessages(Exception):
    """What came is not what was to be exported."""


class Files:
    """Makes the files of `plan` out of `messages` and hands them to `emit` piece by piece."""

    def __init__(self, plan: Plan, messages: Iterator[Message], emit: Callable[[Piece], None]) -> None:
        self._plan = plan
        self._messages = messages
        self._emit = emit
        self._sums: dict[str, list[tuple[str, bytes]]] = {}
        self._frontier = Frontier()
        self._leaves: list[bytes] = []
        self._done = 0
        self._problem: Exception | None = None

    def make(self) -> Filed:
        """Make all of them.

        Raises:
            WrongMessages: the messages are not those of the plan.
            ImportError: Parquet is asked for, and the library for it is not installed.
        """
        self._whole("", export.README, export.readme(self._plan).encode())
        per_file = self._plan.events_per_file
        for number in range(-(-self._plan.head.size // per_file)):
            self._events(number, min(per_file, self._plan.head.size - number * per_file))
        if next(self._messages, None) is not None:
            raise WrongMessages(f"more than {self._plan.head.size} messages came")
        self._edge()
        sums = "".join(f"{digest.hex()}  {path}\n" for path, digest in self._ordered()).encode()
        self._whole(None, export.SUMS, sums)
        return Filed(tree.root_of(self._frontier), sha256(sums).digest())

    def _events(self, number: int, count: int) -> None:
        rows = self._rows(export.events_path(number, "jsonl"), count)
        if not self._plan.parquet:
            for _ in rows:
                pass
            return
        from services.ledger.adapters.exporting.columns import write_rows

        file = self._open("parquet", export.events_path(number, "parquet"))
        try:
            write_rows(rows, file)
        except Exception:
            # What is raised while rows are read comes through the library as text alone.
            if self._problem is not None:
                raise self._problem from None
            raise
        file.close()

    def _rows(self, path: str, count: int) -> Iterator[Row]:
        file = self._open("jsonl", path)
        try:
            for message in islice(self._messages, count):
                row = self._take(message)
                file.write(line_of(row))
                count -= 1
                yield row
            if count:
                raise WrongMessages(f"{self._plan.head.size} messages were to come, {self._done} came")
        except Exception as problem:
            self._problem = problem
            raise
        file.close()

    def _take(self, message: Message) -> Row:
        sequence, subject, header, payload = message
        if sequence != self._plan.first + self._done:
            raise WrongMessages(f"sequence {self._plan.first + self._done} was to come, {sequence} came")
        leaf = leaf_data(subject.encode(), header, header_lines(header), payload)
        self._leaves.append(leaf)
        row = row_of(sequence, self._done, leaf_hash(leaf), subject, header, payload)
        self._done += 1
        if len(self._leaves) == TILE_WIDTH:
            self._bundle()
        return row

    def _bundle(self) -> None:
        """The leaves that have come, and every tile that they make full."""
        leaves, self._leaves = self._leaves, []
        index = self._frontier.size // TILE_WIDTH
        bundle = b"".join(map(bundled, leaves))
        self._whole("entries", export.tile_path("entries", index, len(leaves)), bundle)
        self._frontier, tiles = tree.grow(self._frontier, map(leaf_hash, leaves))
        for tile in tiles:
            self._whole(
                f"tile {tile.level}", export.tile_path(tile.level, tile.index, TILE_WIDTH), tile.hashes
            )

    def _edge(self) -> None:
        """The last, partial bundle, and the partial tiles of this size."""
        if self._leaves:
            self._bundle()
        for level, hashes in enumerate(self._frontier.levels):
            if hashes:
                index = (self._frontier.size >> (8 * level)) // TILE_WIDTH
                path = export.tile_path(level, index, len(hashes) // HASH_BYTES)
                self._whole(f"tile {level}", path, hashes)

    def _ordered(self) -> Iterator[tuple[str, bytes]]:
        """Kind by kind, and each from its first file to its last."""
        for kind in ("", "jsonl", "parquet", *sorted(each for each in self._sums if " " in each), "entries"):
            yield from self._sums.get(kind, ())

    def _open(self, kind: str | None, path: str) -> "_File":
        def closed(digest: bytes) -> None:
            if kind is not None:
                self._sums.setdefault(kind, []).append((path, digest))

        return _File(lambda data: self._emit(Piece(path, data, self._done)), closed)

    def _whole(self, kind: str | None, path: str, data: bytes) -> None:
        file = self._open(kind, path)
        file.write(data)
        file.close()


class _File:
    """A file that is only written, in pieces; its hash is told when it is closed."""

    def __init__(self, emit: Callable[[bytes], None], closed: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._closed = closed
        self._hash = sha256()
        self._parts: list[bytes] = []
        self._size = 0
        self._sent = False

    def write(self, data: bytes) -> int:
        for at in range(0, len(data), _PIECE_BYTES):
            part = bytes(data[at : at + _PIECE_BYTES])
            self._parts.append(part)
            self._size += len(part)
            if self._size >= _PIECE_BYTES:
                self._send()
        return len(data)

    def close(self) -> None:
        if self._parts or not self._sent:
            self._send()
        self._closed(self._hash.digest())

    def _send(self) -> None:
        data = b"".join(self._parts)
        self._parts, self._size, self._sent = [], 0, True
        self._hash.update(data)
        self._emit(data)
