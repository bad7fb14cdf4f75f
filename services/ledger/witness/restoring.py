"""A memory that was lost, made anew from what the witness itself has signed and somebody else has kept."""

from collections.abc import Sequence
from pathlib import Path

from provost_sdk.cosignatures import cosigned, read_witness_key, signature_lines
from provost_sdk.note import NotProved, open_checkpoint
from services.ledger.witness.store import Kept, restore
from services.ledger.witness.trust import Trusted


def restore_from(checkpoints: Sequence[Path], memory: Path, vkey: str, trusted: Trusted) -> list[Kept]:
    """Remember the head of each of these files; each must be the newest of its log that bears our signature.

    Raises:
        ValueError: one is not signed by us and by a log that is trusted, or a log has none: it would be begun anew.
    """
    kept = [_kept(path, vkey, trusted) for path in checkpoints]
    missing = {key.name for key in trusted.all()} - {each.head.origin for each in kept}
    if missing:
        raise ValueError(
            f"no checkpoint is given of {', '.join(sorted(missing))}: it would be begun anew, unseen"
        )
    restore(memory, kept)
    return kept


def _kept(path: Path, vkey: str, trusted: Trusted) -> Kept:
    try:
        note = path.read_text(encoding="utf-8")
        (ours,) = cosigned(note, [read_witness_key(vkey)])
        text, _ = signature_lines(note)
        for key in trusted.of(text.partition("\n")[0]):
            try:
                return Kept(open_checkpoint(note, key), note, ours.at)
            except NotProved:
                continue  # of several keys of a log, one is enough
    except (OSError, UnicodeDecodeError, NotProved) as problem:
        raise ValueError(f"{path}: {problem}") from None
    raise ValueError(f"{path}: not signed by a log that PROVOST_WITNESS_LOGS names")
