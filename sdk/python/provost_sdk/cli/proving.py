"""`provost ledger key`, `prove`, `prove-growth`: what the ledger proves, as files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.checking import read
from provost_sdk.cli.exporting import prove_from
from provost_sdk.cli.session import Address, Key, ask, misused

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost


def key(
    history: Annotated[
        bool,
        typer.Option("--history", help="Every key the log ever had, and the proof that they are its own."),
    ] = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """The keys the log signs with: one, or two while it is changed. Keep them where nobody who runs the log can change
    them: all proofs rest on them.
    """
    from provost_sdk.cli.show import inert

    answer = ask("operator", address, key, lambda provost: provost.tree_head())
    if history:
        _write(answer.key_history)
        return
    for each in answer.verifier_keys or [answer.verifier_key]:
        print(inert(each))


def prove(
    event_id: Annotated[
        str, typer.Argument(help="The event's id, as `provost ledger events --json` shows it.")
    ] = "",
    index: Annotated[
        int | None,
        typer.Option(
            "--index",
            min=0,
            max=2**63 - 1,
            help="Instead of an id: its number in the log. Needs an auditor's key.",
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long until a signed head covers it."),
    ] = None,
    with_payload: Annotated[
        bool, typer.Option("--with-payload/--without-payload", help="Hold the payload, or only its hash.")
    ] = True,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="Out of this export, offline.")
    ] = None,
    address: Address = None,
    key: Key = None,
) -> None:
    """Write the proof that an event is in the log (C2SP tlog-proof) to standard output."""
    from provost_sdk.proof_files import write_event_proof

    if bool(event_id) == (index is not None):
        misused("give the event's id, or its number with --index")
    if wait is not None and index is not None:
        misused("--wait is for an event's id: what has a number is in the log")
    if export is not None:
        prove_from(export, event_id, index, with_payload=with_payload)
        return

    async def question(provost: "Provost") -> "ledger_pb2.GetInclusionProofResponse":
        if index is not None:
            return await provost.prove_leaf(index)
        if wait is not None:
            return await provost.await_inclusion(event_id, timeout_seconds=wait)
        return await provost.prove_event(event_id)

    proof = ask("operator" if index is None else "admin", address, key, question)
    text = write_event_proof(
        proof.leaf_index,
        proof.path,
        proof.tree_head.checkpoint,
        proof.subject,
        proof.header_block,
        proof.payload,
        with_payload=with_payload,
    )
    _write(text)


def prove_growth(
    old: Annotated[Path, typer.Argument(help="An earlier checkpoint, as `provost ledger head` wrote it.")],
    new: Annotated[
        Path | None, typer.Option("--to", help="The later checkpoint; the newest when not given.")
    ] = None,
    address: Address = None,
    key: Key = None,
) -> None:
    """Write the proof that a later head contains all of an earlier one to standard output."""
    from provost_sdk.proof_files import write_growth_proof

    from_size = _size_of(old)
    given = None if new is None else (read(new), _size_of(new))

    async def question(provost: "Provost") -> str:
        if given is None:
            head = (await provost.tree_head()).tree_head
            checkpoint, to_size = head.checkpoint, head.tree_size
        else:
            checkpoint, to_size = given
        answer = await provost.prove_growth(from_size, to_size)
        return write_growth_proof(from_size, answer.path, checkpoint)

    _write(ask("operator", address, key, question))


def _size_of(path: Path) -> int:
    from provost_sdk.note import NotProved, read_number

    try:
        return read_number([*read(path).split("\n"), "", ""][1], "the tree size")
    except NotProved as problem:
        misused(f"{path} is no checkpoint: {problem}")


def _write(text: str) -> None:
    # Bytes: what is signed must not be changed on its way into a file.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
