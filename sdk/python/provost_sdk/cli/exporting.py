"""`provost ledger export`, and `verify --export`: the whole log as files, checked with a public key alone."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from provost_sdk.cli.checking import log_key_of, log_keys_of, not_proved, read
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json
from provost_sdk.cli.witnesses import demanded, listed, tell

if TYPE_CHECKING:
    from provost_sdk.client import Provost
    from provost_sdk.exports.receiving import Receiving
    from provost_sdk.exports.verifying import Verified
    from provost_sdk.note import Key as LogKey


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to: a new or an empty folder.")],
    without_parquet: Annotated[
        bool, typer.Option("--without-parquet", help="JSON Lines and tiles alone.")
    ] = False,
    verifier_key: Annotated[
        list[str] | None,
        typer.Option("--verifier-key", metavar="VKEY", help="Check it with this key before it is kept."),
    ] = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Write everything up to the newest signed head into a folder. Needs an auditor's key."""
    from provost_sdk.exports.receiving import CannotReceive, Receiving
    from provost_sdk.note import NotProved

    keys = [log_key_of(each, "--verifier-key") for each in verifier_key or ()]
    try:
        with Receiving(folder) as receiving:
            events, n_bytes = ask(
                "auditor", address, key, lambda provost: _receive(provost, receiving, not without_parquet)
            )
            receiving.close()
            checked = _check(receiving.folder, keys) if keys else None
            receiving.finish()
    except CannotReceive as problem:
        misused(str(problem))
    except NotProved as problem:
        not_proved(problem, as_json=as_json)
    if as_json:
        print_json(
            {"folder": str(folder), "events": events, "bytes": n_bytes, "checked": checked is not None}
        )
        return
    from provost_sdk.cli.show import inert

    print(f"Exported {events} events, {n_bytes / 1e6:.1f} MB, into {inert(str(folder))}.")
    if checked is None:
        print("To check it, with a key you have kept: `provost ledger verify --export DIR --key VKEY`.")
    else:
        _tell(checked)


def verify_folder(
    folder: Path,
    vkeys: list[str],
    key_history: Path | None,
    witness: list[str] | None,
    quorum: int | None,
    max_age: float | None,
    *,
    as_json: bool,
) -> NoReturn:
    """Check an export and end: 0 it is proved, 1 it is not, 2 it cannot be read."""
    from provost_sdk.note import NotProved

    if not vkeys:
        misused(
            "give the log's verifier key with --key: `provost ledger key` shows it. Nothing is proved without."
        )
    keys = log_keys_of(vkeys, key_history)
    if not folder.is_dir():
        misused(f"{folder} is no folder")
    try:
        found = (
            demanded(read(folder / "checkpoint"), witness, quorum, max_age)
            if witness or quorum or max_age
            else []
        )
        verified = _check(folder, keys)
    except NotProved as problem:
        not_proved(problem, as_json=as_json)
    except OSError as problem:
        misused(f"{problem.filename or folder} cannot be read: {problem.strerror}")
    if as_json:
        print_json(_as_json(verified) | {"witnesses": listed(found)})
    else:
        _tell(verified)
        tell(found)
    raise typer.Exit(Exit.OK)


def prove_from(folder: Path, event_id: str, index: int | None, *, with_payload: bool) -> None:
    """Write the proof of one event of an export to standard output."""
    from provost_sdk.exports.proving import prove_from_export
    from provost_sdk.note import NotProved

    try:
        text = prove_from_export(folder, event_id, index, with_payload=with_payload)
    except NotProved as problem:
        not_proved(problem, as_json=False)
    except OSError as problem:
        misused(f"{problem.filename or folder} cannot be read: {problem.strerror}")
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


async def _receive(provost: "Provost", receiving: "Receiving", parquet: bool) -> tuple[int, int]:
    events = n_bytes = 0
    progress = _Progress("exported")
    async for answer in provost.export_ledger(parquet=parquet):
        receiving.write(answer.path, answer.piece)
        events, n_bytes = answer.target, n_bytes + len(answer.piece)
        progress(answer.events, answer.target)
    progress.end()
    return events, n_bytes


def _check(folder: Path, keys: "Sequence[LogKey]") -> "Verified":
    from provost_sdk.exports.verifying import verify_export

    progress = _Progress("checked")
    try:
        return verify_export(folder, keys, progress)
    finally:
        progress.end()


def _as_json(verified: "Verified") -> dict[str, object]:
    head = verified.manifest.head
    return {
        "proved": True,
        "origin": head.origin,
        "tree_size": head.size,
        "root": head.root.hex(),
        "first_sequence": verified.manifest.first_sequence,
        "signed_with": [each.key_id.hex() for each in head.signers],
        "parquet": {None: "none", False: "not looked into", True: "equal"}[verified.parquet],
    }


def _tell(verified: "Verified") -> None:
    from provost_sdk.cli.show import inert

    manifest, head = verified.manifest, verified.manifest.head
    last = manifest.first_sequence + head.size - 1
    signers = " and ".join(each.key_id.hex() for each in head.signers)
    print(f"Proved: this is the log {inert(head.origin)} up to a head over {head.size} events,")
    print(f"signed with the key {signers}; root {head.root.hex()}:")
    print(
        f"  events   sequences {manifest.first_sequence} to {last}, every leaf, bundle and tile computed anew"
    )
    if verified.parquet:
        print("  parquet  the same, row by row")
    elif verified.parquet is False:
        print("  parquet  every file is the one that was signed; not looked into (arro3-io is not installed)")
    print(
        "What 'decoded' says of a payload is the ledger's reading, which it has signed; the tree proves the payload."
    )


class _Progress:
    """A line that says how far it is, on a terminal."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._shown = -1

    def __call__(self, events: int, of: int) -> None:
        percent = 100 * events // of if of else 0
        if percent != self._shown and sys.stderr.isatty():
            self._shown = percent
            sys.stderr.write(f"\r{events} of {of} events {self._verb} ({percent} %)\x1b[K")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown >= 0:
            self._shown = -1
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
