"""The proof of one event, made from an export: for handing on without the rest. Nothing is trusted here; whoever checks
the proof has the key."""

import json
from collections.abc import Iterator
from pathlib import Path

from provost_sdk.exports.folder import Folder
from provost_sdk.exports.layout import CHECKPOINT, TILE_WIDTH, events_path, tile_path
from provost_sdk.exports.rows import MAX_LINE_BYTES, Row, read_row
from provost_sdk.exports.tree import mth
from provost_sdk.note import Checkpoint, NotProved, read_hash, read_number
from provost_sdk.proof_files import write_event_proof
from provost_sdk.proofs import check_inclusion, hash_node, split

_HASH_BYTES = 32


def prove_from_export(path: Path, event_id: str, leaf_index: int | None, *, with_payload: bool = True) -> str:
    """The proof (C2SP tlog-proof) of the event with this id, or if there is none given, with this number.

    Raises:
        NotProved: the export does not have it, or is not whole where it is.
        OSError: it cannot be read.
    """
    folder = Folder(path)
    checkpoint = folder.text(CHECKPOINT)
    lines = [*checkpoint.split("\n"), "", "", ""]
    head = Checkpoint(lines[0], read_number(lines[1], "the tree size"), read_hash(lines[2], "the root"))
    row = _found(folder, event_id, leaf_index)
    hashes = _path(folder, row.leaf_index, 0, head.size, head.size)
    check_inclusion(row.leaf_hash, row.leaf_index, hashes, head)
    return write_event_proof(
        row.leaf_index, hashes, checkpoint, row.subject, row.block, row.payload, with_payload=with_payload
    )


def _found(folder: Folder, event_id: str, leaf_index: int | None) -> Row:
    wanted = f'"id":{json.dumps(event_id)},' if event_id else f',"leaf_index":{leaf_index},'
    for name, number, line in _lines(folder):
        if wanted.encode() not in line:
            continue
        try:
            given = json.loads(line)
            if (given["id"] == event_id) if event_id else (given["leaf_index"] == leaf_index):
                return read_row(line, int(given["sequence"]), int(given["leaf_index"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise NotProved(f"{name} line {number} is not that of an event") from None
        except NotProved as problem:
            raise NotProved(f"{name} line {number}: {problem}") from None
    raise NotProved(f"the export has no event {event_id or leaf_index}")


def _lines(folder: Folder) -> Iterator[tuple[str, int, bytes]]:
    listed = {name for name, _ in folder.sums() if name.endswith(".jsonl")}
    for number in range(len(listed)):
        name = events_path(number, "jsonl")
        with folder.open(name) as file:
            at = 0
            while line := file.readline(MAX_LINE_BYTES):
                at += 1
                yield name, at, line


def _path(folder: Folder, index: int, begin: int, end: int, size: int) -> list[bytes]:
    """PATH over the leaves from `begin` to `end`: RFC 6962, section 2.1.1."""
    if end - begin == 1:
        return []
    middle = begin + split(end - begin)
    if index < middle:
        return [*_path(folder, index, begin, middle, size), _root(folder, middle, end, size)]
    return [*_path(folder, index, middle, end, size), _root(folder, begin, middle, size)]


def _root(folder: Folder, begin: int, end: int, size: int) -> bytes:
    """The root over a subtree, from the tile that has its hashes."""
    count = end - begin
    if count & (count - 1):
        middle = begin + split(count)
        return hash_node(_root(folder, begin, middle, size), _root(folder, middle, end, size))
    level = (count.bit_length() - 1) // 8
    first, length = begin >> (8 * level), count >> (8 * level)
    tile = first // TILE_WIDTH
    name = tile_path(level, tile, min(TILE_WIDTH, (size >> (8 * level)) - tile * TILE_WIDTH))
    with folder.open(name) as file:
        raw = file.read(TILE_WIDTH * _HASH_BYTES)
    at = (first - tile * TILE_WIDTH) * _HASH_BYTES
    hashes = [raw[n : n + _HASH_BYTES] for n in range(at, at + length * _HASH_BYTES, _HASH_BYTES)]
    if len(hashes[-1]) != _HASH_BYTES:
        raise NotProved(f"{name} is too short")
    return mth(hashes)
