"""`provost budgets`: what may still be spent, and setting limits by hand."""

from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)
UNITS = ("actions", "tokens", "money_micros", "errors", "hosts")
MAX_DIGITS, MAX_WINDOW = 16, 366 * 86_400
_COLUMNS = ("budget", "scope", "of", "unit", "most", "spent", "set aside", "left", "window")


@app.callback()
def budgets() -> None:
    """What agents may still spend: actions, tokens, money, errors, hosts."""


@app.command("list")
def list_(
    agent: Annotated[str, typer.Option("--agent", help="Those this agent draws on.")] = "",
    run: Annotated[str, typer.Option("--run", help="Those this run draws on.")] = "",
    task: Annotated[str, typer.Option("--task", help="Those this task draws on.")] = "",
    limit: pages.Limit = 100,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Budgets that are in use: what is spent, what is set aside, what is left."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_budgets(run=run, agent=agent, task=task, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    if as_json:
        from provost_sdk.models import as_dict

        print_json([as_dict(each) for each in found])
    else:
        from provost_sdk.cli.show import table

        rows = (row for each in found for row in _lines(each))
        table(_COLUMNS, rows, "No budget is in use: the policy set names none, and none was set by hand.")
    pages.tell_more(found)


@app.command("set")
def set_(
    scope: Annotated[Literal["run", "agent", "task", "tenant"], typer.Argument(help="Whose budget.")],
    scope_id: Annotated[str, typer.Argument(metavar="[ID]", help="Of the run, agent or task.")] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="UNIT=MOST", help=f"As actions=100; of {', '.join(UNITS)}."),
    ] = None,
    window: Annotated[
        int,
        typer.Option(
            "--window", metavar="SECONDS", min=0, max=MAX_WINDOW, help="Begins anew so often; 0: never."
        ),
    ] = 0,
    none: Annotated[bool, typer.Option("--none", help="Take back what was set by hand.")] = False,
    why: Annotated[str, typer.Option("--why", help="Kept with it.")] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Set limits by hand, beside those of the policy set: the tightest holds. Needs an admin's key."""
    from provost_sdk.models import as_dict

    if bool(limit) == none:
        misused("give at least one --limit UNIT=MOST, or --none to take back what was set")
    if (scope == "tenant") == bool(scope_id):
        misused("a budget of a run, agent or task needs its id, and that of the tenant has none")
    limits: dict[str, int] = {}
    for unit, most in map(_limit, limit or ()):
        if unit in limits:
            misused(f"--limit {unit} is given twice, as {limits[unit]} and as {most}: which?")
        limits[unit] = most
    answer = ask(
        "admin",
        address,
        key,
        lambda provost: provost.set_budget(scope, scope_id, limits, window_seconds=window, why=why),
    )
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain, table

    whose = f"{scope} {scope_id}".strip()
    if none:
        console().print(plain(f"Nothing is set by hand for {whose} any more.", "bold green"))
        return
    console().print(plain(f"Set for {whose}, since sequence {answer.sequence}:", "bold green"))
    table(_COLUMNS, _lines(answer.budget), empty="")


def _limit(text: str) -> tuple[str, int]:
    unit, _, most = text.partition("=")
    if unit.lower() not in UNITS or not (most.isascii() and most.isdecimal()):
        misused(
            f"--limit {text[:80]!r}: write it as UNIT=MOST, with one of {', '.join(UNITS)} and a whole number, "
            "0 or more"
        )
    if len(most) > MAX_DIGITS:
        misused(
            f"--limit {text[:80]!r}: that is more than any budget may be, at most {10 ** (MAX_DIGITS - 1)}"
        )
    return unit.lower(), int(most)


def _lines(budget: "policy_pb2.Budget") -> "Iterator[tuple[object, ...]]":
    from provost_sdk.cli.show import plain
    from provost_sdk.models import word

    window = ""
    if budget.window_seconds:
        since = (
            budget.window_start_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
            if budget.HasField("window_start_time")
            else ""
        )
        window = f"{budget.window_seconds} s since {since}" if since else f"{budget.window_seconds} s"
    for line in budget.lines:
        left = line.most - line.spent - line.reserved
        yield (
            budget.budget_id,
            word(budget, "scope").lower(),
            budget.scope_id,
            word(line, "unit").lower(),
            f"{line.most:,}",
            f"{line.spent:,}",
            f"{line.reserved:,}",
            plain(f"{left:,}", "bold red" if left <= 0 else ""),
            window,
        )
