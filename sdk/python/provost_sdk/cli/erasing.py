"""`provost ledger erase` and `erasures`: a subject is forgotten, and what was."""

import sys
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, print_json

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost


def erase(
    subject: Annotated[str, typer.Argument(help="As it was given with the log, or run:RUN_ID.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for ever, so name nobody.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    request_id: Annotated[str, typer.Option("--request-id", help="Sent again, it is the same erasure.")] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Forget a subject for good: delete the key its personal data is sealed under. Needs an admin's key.

    Exit code 1 when nothing had been sealed for a subject of this name.
    """
    from provost_sdk.cli.show import console, plain
    from provost_sdk.models import as_dict

    if not yes and not _agreed():
        print("Nothing was erased.", file=sys.stderr)
        raise typer.Exit(Exit.NOT_DONE)
    made = ask(
        "admin", address, key, lambda provost: provost.erase_subject(subject, reason, request_id=request_id)
    )
    if as_json:
        print_json(as_dict(made))
    elif made.key_id:
        console().print(
            plain(f"Erased: the key {made.key_id} is gone. Everything under it is unreadable.", "bold green")
        )
    else:
        console().print(
            plain("Nothing was ever sealed for a subject of this name: is it spelt as it was given?")
        )
    if not made.key_id:
        raise typer.Exit(1)


def erasures(
    limit: pages.Limit = 100, as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """What was erased, newest first; subjects by their pseudonyms. Needs an auditor's key."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_erasures(page_size=size, page_token=token)

    def row(each: "ledger_pb2.Erasure") -> Sequence[object]:
        return (each.at.ToDatetime().isoformat(timespec="seconds"), each.subject_id, each.by, each.reason)

    found = pages.rows(page, limit, address, key, "auditor")
    pages.show(found, as_json, ("when", "subject", "by", "reason"), row, "Nothing was erased.")


def _agreed() -> bool:
    """Whether the person at the terminal agrees; nobody there is no."""
    if not sys.stdin.isatty():
        print("Nobody is here to agree: use --yes.", file=sys.stderr)
        return False
    return typer.confirm("This cannot be taken back. Erase?", err=True)
