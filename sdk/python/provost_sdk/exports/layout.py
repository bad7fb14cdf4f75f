"""What an export holds: its signed manifest, and the files that a log of its size must have, no more and no less."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from provost_sdk.note import Checkpoint, Key, NotProved, open_note, read_number

FORMAT = "provost export v1"
CHECKPOINT, MANIFEST, SUMS, README = "checkpoint", "manifest", "SHA256SUMS", "README"
SIGNED = (CHECKPOINT, MANIFEST, SUMS)
"""The files that SHA256SUMS does not list."""

TILE_WIDTH = 256
_LINES = ("size", "root", "first-sequence", "events-per-file", "parquet", "sha256sums")
_MAX_EVENTS_PER_FILE = 10_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a log has signed of an export."""

    head: Checkpoint
    first_sequence: int
    events_per_file: int
    parquet: bool
    sums: bytes


def read_manifest(note: str, key: Key) -> Manifest:
    """The manifest that `key` has signed.

    Raises:
        NotProved: `key` has not signed it, or it is none of that key's log, or of another format.
    """
    first, *lines = open_note(note, key)[:-1].split("\n")
    if first != f"{key.name}/export":
        raise NotProved(f"it is not the manifest of an export of {key.name}: its first line is {first!r}")
    if lines[:1] != [FORMAT]:
        raise NotProved(f"the manifest is not of the format {FORMAT!r}: a newer program may read it")
    pairs = [line.partition(" ") for line in lines[1:]]
    if tuple(name for name, _, _ in pairs) != _LINES:
        raise NotProved(f"the manifest's lines are not {', '.join(_LINES)}, in this order")
    size, root, first_sequence, per_file, parquet, sums = (value for _, _, value in pairs)
    if parquet not in {"yes", "no"}:
        raise NotProved("the manifest does not say whether there is Parquet")
    manifest = Manifest(
        Checkpoint(key.name, read_number(size, "the manifest's size"), _hex(root, "root")),
        read_number(first_sequence, "the manifest's first sequence"),
        read_number(per_file, "the manifest's number of events per file"),
        parquet == "yes",
        _hex(sums, "sha256sums"),
    )
    if not 1 <= manifest.events_per_file <= _MAX_EVENTS_PER_FILE or manifest.head.size < 1:
        raise NotProved("the manifest's numbers are not those of an export")
    return manifest


def by_one_of(keys: Sequence[Key], read: Callable[[Key], T]) -> tuple[T, Key]:
    """What `read` makes of the first of `keys` that has signed. Raises NotProved: none has; the last problem."""
    problem = NotProved("no key was given")
    for key in keys:
        try:
            return read(key), key
        except NotProved as each:
            problem = each
    raise problem


def expected(manifest: Manifest) -> Iterator[str]:
    """Every file that SHA256SUMS must list, in its order."""
    yield README
    for kind in ("jsonl", "parquet") if manifest.parquet else ("jsonl",):
        for number in range(count_of_files(manifest)):
            yield events_path(number, kind)
    size = manifest.head.size
    level = 0
    while size >> (8 * level):
        yield from _tiles(str(level), size >> (8 * level))
        level += 1
    yield from _tiles("entries", size)


def count_of_files(manifest: Manifest) -> int:
    """How many files of events there are."""
    return -(-manifest.head.size // manifest.events_per_file)


def events_path(number: int, kind: str) -> str:
    """Where the events from `number` times the events per file on are."""
    return f"events/{number:05d}.{kind}"


def tile_path(level: int | str, index: int, width: int) -> str:
    """Where C2SP tlog-tiles has a tile, or with level `entries` a bundle."""
    digits = f"{index:03d}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(("tile", str(level), *(f"x{each}" for each in groups[:-1]), groups[-1]))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def _tiles(level: str, hashes: int) -> Iterator[str]:
    for index in range(hashes // TILE_WIDTH):
        yield tile_path(level, index, TILE_WIDTH)
    if hashes % TILE_WIDTH:
        yield tile_path(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)


def _hex(text: str, what: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32 or raw.hex() != text:
        raise NotProved(f"the manifest's {what} is not 64 hex digits")
    return raw
