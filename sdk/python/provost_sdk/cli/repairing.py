"""`provost ledger repair-log`: a person puts back what the event log has lost of its end."""

import sys
from typing import Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, print_json


def repair_log(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be put back. Changes nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: somebody has looked already.")] = False,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Put back what the event log has lost of its end and the ledger still has. Needs an admin's key.

    Asks before it changes anything. Cut short, it goes on where it was when it is run again.
    """
    from provost_sdk.cli.show import console, plain
    from provost_sdk.models import as_dict

    found = ask("admin", address, key, lambda provost: provost.repair_log(dry_run=True))
    count = found.last_sequence - found.first_sequence + 1
    if not as_json:
        text = f"The event log has lost events {found.first_sequence} to {found.last_sequence} ({count})."
        console().print(plain(text))
    if not dry_run:
        if not yes and not _agreed(count):
            print("Nothing was changed.", file=sys.stderr)
            raise typer.Exit(Exit.NOT_DONE)
        found = ask("admin", address, key, lambda provost: provost.repair_log(dry_run=False))
        if not as_json:
            console().print(plain(f"{found.published} events were put back as they were.", "bold green"))
    if as_json:
        print_json(as_dict(found))


def _agreed(count: int) -> bool:
    """Whether the person at the terminal agrees; nobody there is no."""
    if not sys.stdin.isatty():
        print("Nobody is here to agree: look at --dry-run first, then use --yes.", file=sys.stderr)
        return False
    return typer.confirm(f"Put {count} events back into the event log?", err=True)
