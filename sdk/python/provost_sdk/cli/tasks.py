"""`provost tasks`: tasks as they are."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

if TYPE_CHECKING:
    from provost_sdk.client import Provost

app = typer.Typer(invoke_without_command=True)


@app.callback()
def tasks(
    context: typer.Context,
    limit: pages.Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Tasks, last changed first; `show TASK` for one of them."""
    if context.invoked_subcommand is not None:
        return
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_tasks(page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    pages.show(found, as_json, show_state.TASKS, show_state.task_row, "No tasks.")


app.command("list", hidden=True)(tasks)


@app.command()
def show(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")],
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """A task as it is: agents, phases, locks, budgets, board, messages, who waits for what."""
    from provost_sdk.models import as_dict

    answer = ask("operator", address, key, lambda provost: provost.get_task(task))
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli import show_state

    show_state.task(answer)
