"""`provost runs`."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.process import Wait, awaited, finish
from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

if TYPE_CHECKING:
    from provost.orchestrator.v1 import orchestrator_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    state: Annotated[str, typer.Option("--state", help="Only those, as WAITING or COMPLETED.")] = "",
    limit: pages.Limit = 20,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Runs, newest first."""
    from provost_sdk.cli.session import misused
    from provost_sdk.models import run_as_dict

    wanted = state.upper()
    if wanted not in ("", "RUNNING", "WAITING", "COMPLETED", "REFUSED", "FAILED", "REVOKED"):
        misused(f"no run is {wanted}: RUNNING, WAITING, COMPLETED, REFUSED, FAILED or REVOKED")

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_runs(state=wanted, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    if as_json:
        print_json([run_as_dict(each) for each in found])
        pages.tell_more(found)
        return
    columns = ("run", "started", "state", "agent", "mode", "what")
    empty = f"No run is {wanted}." if wanted else "No runs yet: provost process FILE"
    pages.show(found, False, columns, _row, empty)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="Which run.")],
    wait: Wait = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """One run. Exit codes as for `provost process`."""
    finish(ask("operator", address, key, lambda provost: awaited(provost, run_id, wait)), as_json)


def _row(each: "orchestrator_pb2.Run") -> Sequence[object]:
    from provost_sdk.models import word

    return (
        each.run_id,
        _time(each),
        _state(each),
        each.agent_id,
        word(each, "mode").lower(),
        _what(each),
    )


def _time(run: "orchestrator_pb2.Run") -> str:
    return run.start_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if run.HasField("start_time") else ""


def _state(run: "orchestrator_pb2.Run") -> str:
    from provost_sdk.models import word

    failed = sum(not check.ok for check in run.checks)
    return word(run, "state") + (f", {failed} of {len(run.checks)} checks failed" if failed else "")


def _what(run: "orchestrator_pb2.Run") -> str:
    return f"{run.incident.severity} {run.incident.cause}" if run.HasField("incident") else run.objective
