"""What an export holds: its signed manifest, and the files that a log of its size must have, no more and no less."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provost_sdk.note import Checkpoint, Key, NotProved, open_note, read_number, signed_by

FORMAT = "provost export v1"
CHECKPOINT, MANIFEST, SUMS, README = "checkpoint", "manifest", "SHA256SUMS", "README"
SIGNED = (CHECKPOINT, MANIFEST, SUMS)
"""The files that SHA256SUMS does not list."""

TILE_WIDTH = 256
_LINES = ("size", "root", "first-sequence", "events-per-file", "parquet", "sha256sums")
_MAX_EVENTS_PER_FILE = 10_000_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a log has signed of an export."""

    head: Checkpoint
    first_sequence: int
    events_per_file: int
    parquet: bool
    sums: bytes


def read_manifest(note: str, keys: Sequence[Key]) -> Manifest:
    """The manifest that one of `keys` has signed; `head.signers` are those that have.

    Raises:
        NotProved: none of `keys` has signed it, or it is none of that key's log, or of another format.
    """
    first, *lines = open_note(note, keys)[:-1].split("\n")
    signers = signed_by(note, keys)
    origin = signers[0].name
    if first != f"{origin}/export":
        raise NotProved(f"it is not the manifest of an export of {origin}: its first line is {first!r}")
    if lines[:1] != [FORMAT]:
        raise NotProved(f"it is not of the format {FORMAT!r}: a newer program may read it")
    pairs = [line.partition(" ") for line in lines[1:]]
    if tuple(name for name, _, _ in pairs) != _LINES:
        raise NotProved(f"its lines are not {', '.join(_LINES)}, in this order")
    size_text, root, first_sequence, per_file, parquet, sums = (value for _, _, value in pairs)
    if parquet not in {"yes", "no"}:
        raise NotProved("it does not say whether there is Parquet")
    size = read_number(size_text, "its size")
    still = tuple(
        each for each in signers if each.name == origin and (each.last_size is None or size <= each.last_size)
    )
    if not still:
        raise NotProved(f"the key {signers[0].key_id.hex()} was retired before there were {size} events")
    manifest = Manifest(
        Checkpoint(origin, size, _hex(root, "root"), still),
        read_number(first_sequence, "its first sequence"),
        read_number(per_file, "its number of events per file"),
        parquet == "yes",
        _hex(sums, "sha256sums"),
    )
    if not 1 <= manifest.events_per_file <= _MAX_EVENTS_PER_FILE or size < 1:
        raise NotProved("its numbers are not those of an export")
    return manifest


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
        raise NotProved(f"its {what} is not 64 hex digits")
    return raw
