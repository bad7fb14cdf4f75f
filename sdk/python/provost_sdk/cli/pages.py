"""Lists on the command line: as many rows as are wanted, page by page, as a table or as JSON."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.session import ask, print_json

if TYPE_CHECKING:
    from provost_sdk.client import Provost

Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]


def rows(
    page: "Callable[[Provost, int, str], Awaitable[Any]]", limit: int, address: str | None, key: str | None
) -> list[Any]:
    """Up to `limit` rows; `page` asks for so many behind a page token."""
    from provost_sdk.history_calls import gather

    async def question(provost: "Provost") -> list[Any]:
        return await gather(lambda size, token: page(provost, size, token), limit)

    return ask("operator", address, key, question)


def show(
    found: Iterable[Any],
    as_json: bool,
    columns: Sequence[str],
    row: Callable[[Any], Sequence[object]],
    empty: str,
) -> None:
    """`found` as a table or as JSON."""
    if as_json:
        from provost_sdk.models import as_dict

        print_json([as_dict(each) for each in found])
        return
    from provost_sdk.cli.show import table

    table(columns, map(row, found), empty=empty)
