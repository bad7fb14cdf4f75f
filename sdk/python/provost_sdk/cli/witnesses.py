"""Witnesses on the command line: their keys, and heads that must bear their signatures."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import misused

if TYPE_CHECKING:
    from provost_sdk.cosignatures import Cosignature

Witnesses = Annotated[
    list[str] | None,
    typer.Option(
        "--witness", metavar="VKEY", help="Whose cosignature the head must bear; may be given again."
    ),
]
Quorum = Annotated[
    int | None,
    typer.Option("--quorum", min=1, help="So many of the witnesses are enough; else all must have signed."),
]
MaxAge = Annotated[
    float | None,
    typer.Option("--max-age", metavar="SECONDS", min=0, help="Only cosignatures so recent count."),
]


def witness_key(
    file: Annotated[
        Path | None, typer.Option("--file", help="Where it is; that of a run on this machine when not given.")
    ] = None,
) -> None:
    """The verifier key of the witness that runs on this machine. Others' witnesses: ask whoever runs them."""
    from provost_sdk.cosignatures import read_witness_key
    from provost_sdk.note import NotProved

    path = file or Path(os.environ.get("PROVOST_HOME") or ".provost") / "witness" / "vkey"
    if not path.exists():
        misused(f"{path} is not there: PROVOST_WITNESS=true runs a witness here")
    try:
        text = path.read_text(encoding="utf-8").strip()
        read_witness_key(text)
    except (NotProved, OSError, UnicodeDecodeError) as problem:
        misused(f"{path}: {problem}")
    print(text)


def demanded(
    checkpoint: str, witnesses: list[str] | None, quorum: int | None, max_age: float | None
) -> "list[Cosignature]":
    """What those that are demanded have signed of a checkpoint; nothing when none is. What is misused ends the command.

    Raises:
        NotProved: they have not.
    """
    from provost_sdk.cosignatures import cosigned, read_witness_key
    from provost_sdk.note import NotProved

    if not witnesses:
        if quorum is not None or max_age is not None:
            misused("--quorum and --max-age are about witnesses: name them with --witness")
        return []
    try:
        keys = [read_witness_key(each) for each in witnesses]
    except NotProved as problem:
        misused(
            f"--witness: {problem}. Whoever runs the witness says it; here, `provost ledger witness-key`."
        )
    try:
        return cosigned(checkpoint, keys, quorum, max_age)
    except ValueError as problem:
        misused(f"--quorum: {problem}")


def listed(found: "list[Cosignature]") -> list[dict[str, object]]:
    """For JSON."""
    return [{"witness": each.witness, "at": when(each.at)} for each in found]


def tell(found: "list[Cosignature]") -> None:
    """A line for each."""
    from provost_sdk.cli.show import inert

    for each in found:
        print(f"Witnessed by {inert(each.witness)} at {when(each.at)}: it has seen no other history.")


def when(at: int) -> str:
    """A POSIX time, for people; as a number when no calendar has it."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(at)
