"""An export: everything under one signed head as files. What they are called, and what is signed.

    checkpoint               the signed head, with the signatures of witnesses that were there
    manifest                 a signed note over everything below
    SHA256SUMS  README
    events/00000.jsonl       events, one JSON object a line; .parquet holds the same
    tile/…  tile/entries/…   the tree and its leaves, as C2SP tlog-tiles lays them out

The checkpoint is not among the sums: it is signed itself, and a witness may sign it later.
"""

from dataclasses import dataclass

from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.tree import TILE_WIDTH

FORMAT = "provost export v1"
EVENTS_PER_FILE = 100_000
CHECKPOINT, MANIFEST, SUMS, README = "checkpoint", "manifest", "SHA256SUMS", "README"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be exported: the first `head.size` events of a log whose first sequence is `first`."""

    head: Checkpoint
    first: int
    parquet: bool
    events_per_file: int = EVENTS_PER_FILE


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file, which are appended to those that came before; `events` of all are done."""

    path: str
    data: bytes
    events: int


@dataclass(frozen=True, slots=True)
class Filed:
    """All files but checkpoint and manifest have come: the root over what they hold, and the SHA-256 of SHA256SUMS."""

    root: bytes
    sums: bytes


def manifest(plan: Plan, sums: bytes) -> str:
    """What is signed of an export. Its second line keeps it from being read as a checkpoint."""
    return "\n".join(
        (
            f"{plan.head.origin}/export",
            FORMAT,
            f"size {plan.head.size}",
            f"root {plan.head.root.hex()}",
            f"first-sequence {plan.first}",
            f"events-per-file {plan.events_per_file}",
            f"parquet {'yes' if plan.parquet else 'no'}",
            f"sha256sums {sums.hex()}",
            "",
        )
    )


def tile_path(level: int | str, index: int, width: int) -> str:
    """Where C2SP tlog-tiles has a tile; level `entries` is the bundle of the leaves themselves."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03d}")
    path = f"tile/{level}/{'/'.join(reversed(parts))}"
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def events_path(number: int, kind: str) -> str:
    """The file of the events from `number` · `events_per_file` on; `kind` is jsonl or parquet."""
    return f"events/{number:05d}.{kind}"


def readme(plan: Plan) -> str:
    """How to check an export, for whoever is handed one."""
    head = plan.head
    return f"""\
An export of the log {head.origin}: {head.size} events, from sequence {plan.first} on.
Root of their Merkle tree (RFC 6962): {head.root.hex()}

To check all of it with the log's public key alone, no service running and no network:

    provost ledger verify --export DIR --key '<verifier key>'

Take the key from where you keep it, not from whoever gave you this folder. By other means:

    sha256sum --check SHA256SUMS          every file is the one it was; SHA256SUMS itself: see manifest
    checkpoint, manifest                  C2SP signed notes, Ed25519 (https://c2sp.org/signed-note)
    checkpoint, tile/                     a log as C2SP tlog-tiles has it, for any client of such logs,
                                          read from this folder or served by any file server

events/*.jsonl has one event a line: sequence and leaf_index (where it is in the log and in the tree), leaf_hash,
subject, id, type and time (from its headers), headers as published, or header_block (base64) where they cannot be told
apart by name, payload (base64, as published), and decoded: the payload as JSON, where its type is known.
events/*.parquet has the same columns. leaf_hash is SHA-256 of a zero byte and the leaf, and the leaf is

    provost leaf v1 CRLF  subject CRLF  {{ header-line CRLF, sorted }}  CRLF  SHA-256(payload)

or, where the headers are no header block or the leaf would pass 65535 bytes,

    provost leaf v1 opaque CRLF  subject CRLF  SHA-256(header block)  SHA-256(payload)

The tree proves subject, headers and payload. That decoded says what payload says, the ledger's signature on the
manifest vouches for. What was encrypted when it was published is encrypted here.
"""
