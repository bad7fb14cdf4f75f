"""Lists on the command line: as many rows as are wanted, page by page, as a table or as JSON, and what is left out."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.session import ask, print_json

if TYPE_CHECKING:
    from provost_sdk.client import Provost

MOST = 100_000
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST, help="At most so many.")]


class Rows(list[Any]):
    """What was found; `more` says what was left out for the limit."""

    more = ""


def rows(
    page: "Callable[[Provost, int, str], Awaitable[Any]]",
    limit: int,
    address: str | None,
    key: str | None,
    role: str = "operator",
    *,
    first: Callable[[Any], Any] | None = None,
    of: "Callable[[Provost], Awaitable[object]] | None" = None,
) -> Rows:
    """Up to `limit` rows; `page` asks for so many behind a page token.

    With `first` all are looked at (100,000 at most), and those come first of which it says the least. Where there are
    none, `of` asks for what they would be of, so that nobody takes for empty what does not exist.
    """
    from provost_sdk.history_calls import gather

    async def question(provost: "Provost") -> list[Any]:
        every = await gather(lambda size, token: page(provost, size, token), MOST if first else limit + 1)
        if of and not every:
            await of(provost)
        return every

    found = ask(role, address, key, question)
    if first:
        found.sort(key=first)
    shown = Rows(found[:limit])
    if len(found) > limit:
        shown.more = f"… and {f'{len(found) - limit:,} ' if first else ''}more: --limit shows them"
    return shown


def tell_more(found: Rows) -> None:
    """Beside the answer, so that programs read it all the same."""
    if found.more:
        print(found.more, file=sys.stderr)


def show(
    found: Rows,
    as_json: bool,
    columns: Sequence[str],
    row: Callable[[Any], Sequence[object]],
    empty: str,
) -> None:
    """`found` as a table or as JSON."""
    if as_json:
        from provost_sdk.models import as_dict

        print_json([as_dict(each) for each in found])
    else:
        from provost_sdk.cli.show import table

        table(columns, map(row, found), empty=empty)
    tell_more(found)
