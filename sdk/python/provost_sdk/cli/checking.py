"""`provost ledger check`, `consistent`: proofs checked offline, with verifier keys alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import unquote

import typer

from provost_sdk.cli.session import AsJson, Exit, misused, print_json
from provost_sdk.cli.witnesses import MaxAge, Quorum, Witnesses, demanded, listed, tell

if TYPE_CHECKING:
    from provost_sdk.note import Key as LogKey
    from provost_sdk.proof_files import ProvedEvent

MAX_FILE_BYTES = 64 * 1024 * 1024
VerifierKeys = Annotated[
    list[str],
    typer.Option(
        "--key",
        metavar="VKEY",
        help="A verifier key of the log, <name>+<id>+<base64>; may be given several times.",
    ),
]
KeyHistory = Annotated[
    Path | None,
    typer.Option(
        "--key-history",
        metavar="FILE",
        help="What `provost ledger key --history` wrote: brings the log's other keys, if --key is one of them.",
    ),
]


def check(
    proof: Annotated[Path, typer.Argument(help="What `provost ledger prove` wrote; - is standard input.")],
    key: VerifierKeys,
    key_history: KeyHistory = None,
    witness: Witnesses = None,
    quorum: Quorum = None,
    max_age: MaxAge = None,
    as_json: AsJson = False,
) -> None:
    """Check such a proof offline, and say what it proves; exit code 0 only if it does."""
    from provost_sdk.note import NotProved
    from provost_sdk.proof_files import check_event_proof

    keys, text = log_keys_of(key, key_history), read(proof)
    try:
        proved = check_event_proof(text, keys)
        found = demanded(text.partition("\n\n")[2], witness, quorum, max_age)
    except NotProved as problem:
        not_proved(problem, as_json=as_json)
    headers = _headers(proved.header)
    if as_json:
        print_json(
            {
                "proved": True,
                "origin": proved.head.origin,
                "index": proved.index,
                "tree_size": proved.head.size,
                "root": proved.head.root.hex(),
                "subject": proved.subject,
                "headers": headers,
                "payload_sha256": proved.payload_sha256.hex(),
                "payload_in_proof": proved.payload is not None,
                "witnesses": listed(found),
            }
        )
        return
    _tell(proved, headers)
    tell(found)


def consistent(
    old: Annotated[Path, typer.Argument(help="The earlier checkpoint.")],
    proof: Annotated[Path, typer.Argument(help="What `provost ledger prove-growth` wrote.")],
    key: VerifierKeys,
    key_history: KeyHistory = None,
    witness: Witnesses = None,
    quorum: Quorum = None,
    max_age: MaxAge = None,
    as_json: AsJson = False,
) -> None:
    """Check offline that a log only grew between two heads; exit code 0 only if it did."""
    from provost_sdk.note import NotProved
    from provost_sdk.proof_files import check_growth_proof

    keys, earlier, text = log_keys_of(key, key_history), read(old), read(proof)
    try:
        proved = check_growth_proof(earlier, text, keys)
        found = demanded(text.partition("\n\n")[2], witness, quorum, max_age)
    except NotProved as problem:
        not_proved(problem, as_json=as_json)
    if as_json:
        print_json(
            {
                "proved": True,
                "origin": proved.new.origin,
                "old_size": proved.old.size,
                "new_size": proved.new.size,
                "new_root": proved.new.root.hex(),
                "witnesses": listed(found),
            }
        )
        return
    from provost_sdk.cli.show import inert

    print(f"Proved: both heads are signed with the key of {inert(proved.new.origin)}, and the later one")
    print(f"({proved.new.size} events) begins with exactly the {proved.old.size} events of the earlier one.")
    tell(found)


def log_key_of(text: str, option: str = "--key") -> "LogKey":
    """The verifier key in `text`; anything else ends the command."""
    from provost_sdk.note import NotProved, read_key

    try:
        return read_key(text)
    except NotProved as problem:
        misused(f"{option}: {problem}. `provost ledger key` shows it.")


def log_keys_of(texts: list[str], history: Path | None = None) -> "tuple[LogKey, ...]":
    """The verifier keys in `texts`, and those that a history of keys proves; anything else ends the command."""
    from provost_sdk.log_keys import read_key_history, read_keys
    from provost_sdk.note import NotProved

    try:
        keys = tuple(key for text in texts for key in read_keys(text))
    except NotProved as problem:
        misused(f"--key: {problem}. `provost ledger key` shows it.")
    if history is None:
        return keys
    try:
        return read_key_history(read(history), keys)
    except NotProved as problem:
        not_proved(problem, as_json=False)


def read(path: Path) -> str:
    """The text of a file, or of standard input for `-`; what cannot be read ends the command."""
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            misused(f"{path} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB: no proof is")
        return raw.decode()
    except OSError as problem:
        misused(f"{path} cannot be read: {problem.strerror}")
    except UnicodeDecodeError:
        misused(f"{path} is not text (UTF-8)")


def not_proved(problem: Exception, *, as_json: bool) -> NoReturn:
    """Say that nothing is proved, and why, and end."""
    if as_json:
        print_json({"proved": False, "problem": str(problem)})
    else:
        from provost_sdk.cli.show import inert

        print(f"Not proved: {inert(str(problem))}", file=sys.stderr)
    raise typer.Exit(Exit.NOT_WELL)


def _tell(proved: "ProvedEvent", headers: dict[str, str]) -> None:
    from provost_sdk.cli.show import inert

    print(f"Proved: this event is number {proved.index} (from 0) of the log {inert(proved.head.origin)},")
    signers = " and ".join(each.key_id.hex() for each in proved.head.signers)
    print(f"whose head over {proved.head.size} events is signed with the key {signers}:")
    print(f"  subject  {inert(proved.subject)}")
    for name, label in (("ce-type", "type"), ("ce-id", "id"), ("ce-actor", "by"), ("ce-time", "at")):
        if name in headers:
            print(f"  {label:<7}  {inert(headers[name])}")
    where = f"{len(proved.payload)} bytes, in the proof" if proved.payload is not None else "not in the proof"
    print(f"  payload  sha256 {proved.payload_sha256.hex()}, {where}")
    print(
        "Who and when are as whoever published it said; that they have not changed since is what is proved."
    )


def _headers(block: bytes) -> dict[str, str]:
    """By name. Of one that is there twice all values are shown: the tree does not say which of them came last."""
    found: dict[str, list[str]] = {}
    for line in sorted(block.decode("utf-8", "replace").split("\r\n")):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, []).append(unquote(value.strip()))
    return {name: " and ".join(values) for name, values in found.items()}
