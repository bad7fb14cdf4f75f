"""`provost status`, and `provost --version`."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Exit, complain, place_of, print_json

if TYPE_CHECKING:
    from provost.gateway.v1 import gateway_pb2
    from provost_sdk.errors import ProvostError

_PAUSE_SECONDS = 0.2


def _tell_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"provost {version('provost')}")
    except PackageNotFoundError:
        print("provost, from a checkout that is not installed: it has no version")
    raise typer.Exit(Exit.OK)


def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """What is asked of the command line itself."""


def status(
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for all to be well.")
    ] = 0.0,
    as_json: AsJson = False,
    address: Address = None,
) -> None:
    """Say what is healthy, what lags and by how much; exit code 0 only if all is well."""
    answer = asyncio.run(_until_well(wait, address))
    if not isinstance(answer, Exception):
        _show(answer, as_json)
        raise typer.Exit(Exit.OK if answer.healthy else Exit.NOT_WELL)
    if as_json:
        print_json({"healthy": False, "components": [], "error": answer.reason})
        raise typer.Exit(Exit.NOBODY_ANSWERS)
    complain(answer, place_of("viewer", address))


async def _until_well(
    wait_seconds: float, address: str | None
) -> "gateway_pb2.GetStatusResponse | ProvostError":
    """The status once all is well, or the last there was when the time is up."""
    from provost_sdk.client import Provost
    from provost_sdk.errors import ProvostError

    until = time.monotonic() + wait_seconds
    while True:
        answer: gateway_pb2.GetStatusResponse | ProvostError
        try:
            # Looked up each time: a run that is just starting says only then where it is.
            place = place_of("viewer", address)
            async with Provost(place.address, timeout_seconds=5.0, ca_file=place.ca_file) as provost:
                answer = await provost.status()
        except ProvostError as error:
            answer = error
        well = not isinstance(answer, ProvostError) and answer.healthy
        if well or time.monotonic() + _PAUSE_SECONDS > until:
            return answer
        await asyncio.sleep(_PAUSE_SECONDS)


def _show(answer: "gateway_pb2.GetStatusResponse", as_json: bool) -> None:
    if as_json:
        from provost_sdk.models import as_dict

        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain, table

    table(
        ("", "component", "behind by", "detail"),
        (
            (
                plain("●", "green" if each.healthy else "bold red"),
                each.name,
                "unknown" if each.lag_events < 0 else f"{each.lag_events} events",
                each.detail,
            )
            for each in answer.components
        ),
        empty="nothing is known",
    )
    said = plain("All is well.", "bold green") if answer.healthy else plain("Not all is well.", "bold red")
    console().print(said + plain(f"  Provost {answer.version}", "dim"))
