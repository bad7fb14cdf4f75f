"""`provost runs`."""

from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

if TYPE_CHECKING:
    from provost.orchestrator.v1 import orchestrator_pb2

app = typer.Typer(no_args_is_help=True)
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]


@app.command("list")
def list_(
    state: Annotated[str, typer.Option("--state", help="Only those, as WAITING or COMPLETED.")] = "",
    limit: Limit = 20,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Runs, newest first."""
    from provost_sdk.cli.session import misused
    from provost_sdk.models import run_as_dict, word

    wanted = state.upper()
    if wanted not in ("", "RUNNING", "WAITING", "COMPLETED", "REFUSED", "FAILED", "REVOKED"):
        misused(f"no run is {wanted}: RUNNING, WAITING, COMPLETED, REFUSED, FAILED or REVOKED")
    answer = ask("operator", address, key, lambda provost: provost.list_runs(state=wanted, page_size=limit))
    if as_json:
        print_json([run_as_dict(each) for each in answer.runs])
        return
    from provost_sdk.cli.show import table

    table(
        ("run", "started", "state", "agent", "mode", "what"),
        (
            (
                each.run_id,
                _time(each),
                word(each, "state"),
                each.agent_id,
                word(each, "mode").lower(),
                _what(each),
            )
            for each in answer.runs
        ),
        empty="No runs yet: provost process FILE",
    )


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="Which run.")],
    wait: Annotated[
        int, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for its end.")
    ] = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """One run. Exit codes as for `provost process`."""
    from provost_sdk.cli.process import finish

    finish(ask("operator", address, key, lambda provost: provost.get_run(run_id, wait_seconds=wait)), as_json)


def _time(run: "orchestrator_pb2.Run") -> str:
    return run.start_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if run.HasField("start_time") else ""


def _what(run: "orchestrator_pb2.Run") -> str:
    return f"{run.incident.severity} {run.incident.cause}" if run.HasField("incident") else run.objective
