"""`provost ledger`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.checking import KeyHistory
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json
from provost_sdk.cli.witnesses import MaxAge, Quorum, Witnesses

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)


@app.command()
def head(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """The newest signed tree head, as a C2SP checkpoint."""
    from provost_sdk.models import as_dict

    answer = ask("operator", address, key, lambda provost: provost.tree_head())
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import inert

    for line in answer.tree_head.checkpoint.splitlines():
        print(inert(line))
    # Not with it: what goes into a file is the checkpoint, byte for byte.
    print(f"verifier key {inert(answer.verifier_key)}", file=sys.stderr)


@app.command()
def verify(
    against_log: Annotated[
        bool, typer.Option("--against-log/--rows-only", help="Compare with the event log itself too.")
    ] = True,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="Check this export instead, offline.")
    ] = None,
    key_history: KeyHistory = None,
    witness: Witnesses = None,
    quorum: Quorum = None,
    max_age: MaxAge = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="API key; with --export, the log's verifier key (again for each there was).",
        ),
    ] = None,
) -> None:
    """Recompute everything that can be recomputed; exit code 0 only if it holds.

    With --export, of an export, with the log's verifier key alone: 0 proved, 1 not proved, 2 it cannot be read.
    """
    from provost_sdk.cli.exporting import verify_folder
    from provost_sdk.models import as_dict

    if export is not None:
        verify_folder(export, key or [], key_history, witness, quorum, max_age, as_json=as_json)
    if witness or quorum or max_age or key_history or len(key or ()) > 1:
        misused("witnesses, the history of keys and several keys go with --export")
    api_key = key[0] if key else None
    answer = ask("operator", address, api_key, lambda provost: provost.verify_ledger(against_log=against_log))
    if as_json:
        print_json(as_dict(answer))
    else:
        from provost_sdk.cli.show import console, plain

        for check in answer.checks:
            mark = plain("✓ ", "green") if check.ok else plain("✗ ", "bold red")
            console().print(mark + plain(check.name) + plain(f"  {check.detail}", "dim"))
        if answer.ok:
            root = answer.tree_head.root_hash.hex()
            console().print(
                plain(
                    f"All holds. Newest signed head: {answer.tree_head.tree_size} events, root {root}",
                    "bold green",
                )
            )
        else:
            where = f" from sequence {answer.first_bad_sequence}" if answer.first_bad_sequence else ""
            console().print(plain(f"It does not hold{where}.", "bold red"))
    raise typer.Exit(Exit.OK if answer.ok else Exit.NOT_WELL)


@app.command()
def rebuild(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Build the database anew from the event log. Needs an admin's key; exit code 0 only if it was swapped in."""
    from provost_sdk.models import as_dict

    async def question(provost: "Provost") -> "ledger_pb2.RebuildLedgerResponse | None":
        last: ledger_pb2.RebuildLedgerResponse | None = None
        async for step in provost.rebuild_ledger():
            last = step
            if not as_json:
                _tell(step)
        return last

    last = ask("admin", address, key, question)
    if as_json and last is not None:
        print_json(as_dict(last))
    raise typer.Exit(Exit.OK if last is not None and last.swapped else Exit.NOT_WELL)


def _tell(step: "ledger_pb2.RebuildLedgerResponse") -> None:
    from provost_sdk.cli.show import console, plain

    if not step.done:
        rate = f"  {step.events_per_second:,.0f} a second" if step.events_per_second else ""
        console().print(plain(f"{step.events} of {step.target} events{rate}  {step.detail}".rstrip(), "dim"))
    elif step.swapped:
        console().print(
            plain(f"Rebuilt from {step.events} events, root {step.root_hash.hex()}", "bold green")
        )
    else:
        console().print(plain(f"Not swapped in: {step.detail}", "bold red"))
