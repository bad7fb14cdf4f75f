"""One question to the gateway, asked from the command line: whom, in whose name, and what to say when it fails."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from provost_sdk.place import Place, ended_here, find

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from provost_sdk.client import Provost
    from provost_sdk.errors import ProvostError

Answer = TypeVar("Answer")

Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="The gateway (else PROVOST_ADDRESS, else the run here)."
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="API key (else PROVOST_API_KEY, else the key of the run here)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]


class Exit(IntEnum):
    """What the exit code says."""

    OK = 0
    NOT_WELL = 1
    MISUSED = 2
    NOBODY_ANSWERS = 3
    WAITING = 4
    NOT_DONE = 5


def ask(
    role: str, address: str | None, key: str | None, question: "Callable[[Provost], Awaitable[Answer]]"
) -> Answer:
    """What `question` comes to; what went wrong is told, and ends the command with its exit code."""
    from provost_sdk.errors import ProvostError
    from provost_sdk.stale import staleness

    place = place_of(role, address, key)
    try:
        with staleness() as told:
            answer = asyncio.run(_asked(place, question))
        _say_how_old(told.seconds)
        return answer
    except ProvostError as error:
        complain(error, place)
    except UnicodeEncodeError as error:
        if error.encoding != "utf-8":  # what could not be shown is another matter
            raise
        misused("An argument is not text: it has bytes in it that are not UTF-8.")


def place_of(role: str, address: str | None, key: str | None = None) -> Place:
    """Where to ask, and with which key; an option that was given empty ends the command."""
    try:
        return find(role, address, key)
    except ValueError as error:
        misused(str(error))


async def _asked(place: Place, question: "Callable[[Provost], Awaitable[Answer]]") -> Answer:
    from provost_sdk.client import Provost

    async with Provost(place.address, place.key, ca_file=place.ca_file) as provost:
        return await question(provost)


def complain(error: "ProvostError", place: Place) -> NoReturn:
    """Say what is wrong and what to do about it, and end."""
    from provost_sdk.cli.show import inert
    from provost_sdk.errors import GATEWAY_UNREACHABLE, Unreachable

    _say_how_old(error.stale_seconds)
    text = inert(str(error))
    if error.reason == GATEWAY_UNREACHABLE:
        text = _unreached(text, place)
    elif error.reason in ("KEY_MISSING", "KEY_UNKNOWN"):
        text += "\nGive a key with --key or PROVOST_API_KEY."
    elif isinstance(error, Unreachable):
        if "request_id" in error.facts:  # it was to change something
            text += "\nWhether it took effect is not known: "
            text += "`provost events tail`, `provost runs list` and `provost agents list` show it."
        text += "\n`provost status` says what is not well."
    print(
        f"{text}\n({inert(error.reason)})" if error.reason != GATEWAY_UNREACHABLE else text, file=sys.stderr
    )
    raise typer.Exit(Exit.NOBODY_ANSWERS if isinstance(error, Unreachable) else Exit.NOT_WELL)


def _unreached(text: str, place: Place) -> str:
    """Why nobody was reached, as the client says it, and what to do about it."""
    from provost_sdk.errors import NOT_TRUSTED

    if text.startswith(NOT_TRUSTED):
        authority = (
            f"says {place.ca_file}"
            if place.ca_file
            else "is not set: the certificate has to be of a public authority"
        )
        return f"{place.address}: {text}\nPROVOST_CA_FILE {authority}."
    mend = "Start Provost with `make run`"
    if place.local:
        mend = "It says it runs here: `provost status --wait 10`"
        if ended_here():
            mend = "It ran here, and has ended without saying so: `make run` goes on where it was"
    return (
        f"Nobody answers at {place.address}: {text}\n"
        f"{mend}, or name another place with --address or PROVOST_ADDRESS."
    )


def _say_how_old(seconds: int) -> None:
    """Before the answer and beside it, so that it is seen, and programs read JSON all the same."""
    if seconds:
        text = (
            f"As of {seconds} s ago: state cannot reach the event log; what has happened since is not shown."
        )
        print(text, file=sys.stderr)


def misused(text: str) -> NoReturn:
    """Say how the command was misused, and end."""
    print(text, file=sys.stderr)
    raise typer.Exit(Exit.MISUSED)


def tell(answer: "Message", said: str, as_json: bool) -> None:
    """What a command has done: `said`, or as JSON the whole answer."""
    if as_json:
        from provost_sdk.models import as_dict

        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain

    console().print(plain(said, "bold green"))


def print_json(value: Any) -> None:
    """One JSON document; nothing in it can act on a terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=True))
