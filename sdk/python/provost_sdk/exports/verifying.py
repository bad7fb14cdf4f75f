"""An export, checked with public keys alone: signatures, names, every event, every tile, the root, every file's hash.

One pass over the events, in bounded memory; what is wrong first is named. Needs no service and no network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from provost_sdk.exports.folder import Folder
from provost_sdk.exports.layout import (
    CHECKPOINT,
    MANIFEST,
    SUMS,
    TILE_WIDTH,
    Manifest,
    count_of_files,
    events_path,
    read_manifest,
    tile_path,
)
from provost_sdk.exports.rows import MAX_LINE_BYTES, Row, read_row
from provost_sdk.exports.tree import Tile, Tree
from provost_sdk.note import Key, NotProved, open_checkpoint

if TYPE_CHECKING:
    from provost_sdk.exports.columns import Compared

_TELL_EVERY = 20_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export was proved to be; `manifest.head.signers` have signed it. `parquet` is None where there is none,
    False where it was not looked into."""

    manifest: Manifest
    parquet: bool | None


def verify_export(
    path: Path, keys: Sequence[Key], tell: Callable[[int, int], None] = lambda _events, _of: None
) -> Verified:
    """Check the export in `path`, which one of `keys` must have signed.

    `tell` is told from time to time how many events are checked, of how many. What witnesses have signed of its
    checkpoint is for `provost_sdk.cosignatures`.

    Raises:
        NotProved: something of it is not what was signed; the text names the first such thing.
        OSError: it cannot be read.
    """
    folder = Folder(path)
    manifest = _manifest(folder, keys)
    if folder.digest(SUMS) != manifest.sums:
        raise NotProved(f"{SUMS} is not the one that the manifest is signed over")
    folder.check_names(manifest)
    events = _Events(folder, path, manifest, tell)
    events.check()
    for name, digest in folder.sums():
        if not name.startswith("events/") and folder.digest(name) != digest:
            raise NotProved(f"{name} is not the file that {SUMS} lists")
    return Verified(manifest, events.parquet)


def _manifest(folder: Folder, keys: Sequence[Key]) -> Manifest:
    signed, checkpoint, name = folder.text(MANIFEST), folder.text(CHECKPOINT), MANIFEST
    try:
        manifest = read_manifest(signed, keys)
        name = CHECKPOINT
        head = open_checkpoint(checkpoint, keys)
        if head != manifest.head:
            raise NotProved(f"it is a head over {head.size} events, and not the one of the manifest")
    except NotProved as problem:
        raise NotProved(f"{name}: {problem}") from None
    return manifest


class _Events:
    """Every event, leaf and tile. Everything may raise NotProved."""

    def __init__(
        self, folder: Folder, path: Path, manifest: Manifest, tell: Callable[[int, int], None]
    ) -> None:
        self._folder = folder
        self._path = path
        self._manifest = manifest
        self._tell = tell
        self._tree = Tree()
        self._rows: list[Row] = []
        self._index = 0
        self._digests = {name: digest for name, digest in folder.sums() if name.startswith("events/")}
        self.parquet: bool | None = None
        if manifest.parquet:
            self.parquet = find_spec("arro3.io") is not None if find_spec("arro3") else False

    def check(self) -> None:
        size, per_file = self._manifest.head.size, self._manifest.events_per_file
        for number in range(count_of_files(self._manifest)):
            self._file(number, min(per_file, size - number * per_file))
        if self._rows:
            self._bundle()
        for tile in self._tree.edge():
            self._check_tile(tile)
        if self._tree.root() != self._manifest.head.root:
            raise NotProved("the events give another root than the one that is signed")
        self._tell(size, size)

    def _file(self, number: int, count: int) -> None:
        columns = self._columns(number)
        name = events_path(number, "jsonl")
        first = self._manifest.first_sequence
        digest = sha256()
        with self._folder.open(name) as file:
            for n in range(1, count + 1):
                line = file.readline(MAX_LINE_BYTES)
                if not line:
                    raise NotProved(f"{name} line {n} (leaf {self._index}) is missing")
                digest.update(line)
                try:
                    row = read_row(line, first + self._index, self._index)
                except NotProved as problem:
                    raise NotProved(f"{name} line {n} (leaf {self._index}): {problem}") from None
                if columns is not None:
                    columns.add(row)
                self._take(row)
            if file.read(1):
                raise NotProved(f"{name} has more than {count} lines")
        if columns is not None:
            columns.end()
        if digest.digest() != self._digests[name]:
            raise NotProved(f"{name} is not the file that {SUMS} lists: what was changed is a 'decoded'")

    def _columns(self, number: int) -> "Compared | None":
        if not self._manifest.parquet:
            return None
        name = events_path(number, "parquet")
        # Before it is read by a library that need not be ready for what somebody has made of it.
        if self._folder.digest(name) != self._digests[name]:
            raise NotProved(f"{name} is not the file that {SUMS} lists")
        if not self.parquet:
            return None
        from provost_sdk.exports.columns import Compared

        return Compared(self._path / name, name)

    def _take(self, row: Row) -> None:
        self._rows.append(row)
        self._index += 1
        if len(self._rows) == TILE_WIDTH:
            self._bundle()
        if self._index % _TELL_EVERY == 0:
            self._tell(self._index, self._manifest.head.size)

    def _bundle(self) -> None:
        rows, self._rows = self._rows, []
        first = rows[0].leaf_index
        name = tile_path("entries", first // TILE_WIDTH, len(rows))
        entries = [len(row.leaf).to_bytes(2, "big") + row.leaf for row in rows]
        at, found = self._folder.is_exactly(name, b"".join(entries))
        if at >= 0:
            ends, end = [], 0
            for entry in entries:
                end += len(entry)
                ends.append(end)
            which = next((n for n, end in enumerate(ends) if at < end), None)
            if which is None or (found < end and at == found):
                raise NotProved(f"{name} is too long or too short")
            raise NotProved(f"{name}: leaf {first + which} is not the one of its event")
        for tile in self._tree.add([row.leaf_hash for row in rows]):
            self._check_tile(tile)

    def _check_tile(self, tile: Tile) -> None:
        name = tile_path(tile.level, tile.number, len(tile.hashes))
        wanted = b"".join(tile.hashes)
        at, found = self._folder.is_exactly(name, wanted)
        if at == len(wanted) or (at >= 0 and at == found):
            raise NotProved(f"{name} is too long or too short")
        if at >= 0:
            which = tile.number * TILE_WIDTH + at // 32
            of = f"leaf {which}" if tile.level == 0 else f"subtree {which} of its level"
            raise NotProved(f"{name}: the hash of {of} is not what its events give")
