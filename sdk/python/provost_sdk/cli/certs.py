"""`provost certs`: an authority in a directory, for clusters without Vault, and the certificates it issues."""

import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import AsJson, Exit, misused, print_json

if TYPE_CHECKING:
    from provost_sdk.certs.authority import Authority, Shown

LOOK_SECONDS = 60.0
app = typer.Typer(no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the authority is.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="SERVICE", help="As policy, or a replica as nats-1.")
]
All = Annotated[bool, typer.Option("--all", help="All services, and what runs beside them.")]
Hours = Annotated[
    float, typer.Option("--hours", min=0.01, max=24 * 400, help="How long a certificate is good.")
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host", metavar="NAME", help="A name or address it is also reached at; may be given again."
    ),
]


@app.command()
def init(
    directory: Directory,
    days: Annotated[
        float, typer.Option("--days", min=0.01, max=36_500, help="How long the authority is good.")
    ] = 3650,
    if_none: Annotated[bool, typer.Option("--if-none", help="Leave one that is there as it is.")] = False,
) -> None:
    """Make a new authority. One that is there is never overwritten."""
    from provost_sdk.certs.authority import CertificateError, create

    if if_none and (directory / "ca.key").exists():
        _authority(directory)
        return
    try:
        made = create(directory, days, datetime.now(UTC))
    except (CertificateError, OSError) as problem:
        misused(str(problem))
    print(f"{made.file} is the authority until {made.not_after:%Y-%m-%d}.")
    print(f"Keep {directory / 'ca.key'} to yourself: whoever has it can be any service.")


@app.command()
def issue(
    directory: Directory,
    names: Names = None,
    everyone: All = False,
    hours: Hours = 72,
    hosts: Hosts = None,
) -> None:
    """Issue new certificates, in place of those there are. Processes take them up by themselves."""
    _show([_issued(_authority(directory), name, hours, hosts or ()) for name in _asked(names, everyone)])


@app.command()
def renew(
    directory: Directory,
    names: Names = None,
    everyone: All = False,
    hours: Hours = 72,
    hosts: Hosts = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay, and do it again whenever one is due, until stopped.")
    ] = False,
) -> None:
    """Issue those that are missing, or of whose life two thirds are over; else change nothing.

    Without a SERVICE, those who have one. The names and addresses a certificate has stay with it.
    """
    authority = _authority(directory)
    stopped = threading.Event()
    if keep:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    while True:
        due = [name for name in (_asked(names, everyone, authority.issued())) if _is_due(authority, name)]
        _show([_issued(authority, name, hours, (*authority.hosts(name), *(hosts or ()))) for name in due])
        if not keep or stopped.wait(min(LOOK_SECONDS, hours * 3600 / 30)):
            return


@app.command()
def show(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="An authority, or one certificate.")],
    as_json: AsJson = False,
) -> None:
    """What certificates there are, until when they are good, and what is wrong with them."""
    from provost_sdk.certs.authority import CertificateError
    from provost_sdk.certs.authority import show as shown_in

    if not place.exists():
        misused(f"{place} is not there")
    files = sorted([*place.glob("ca.crt"), *place.glob("*/tls.crt")]) if place.is_dir() else [place]
    if not files:
        misused(f"no certificates are in {place}: `provost certs init {place}` begins")
    try:
        found = [shown_in(each, datetime.now(UTC)) for each in files]
    except CertificateError as problem:
        misused(str(problem))
    if as_json:
        print_json([_as_dict(each) for each in found])
    else:
        _show(found)
    if any(each.problem for each in found):
        raise typer.Exit(Exit.NOT_WELL)


def _asked(names: list[str] | None, everyone: bool, there: Sequence[str] = ()) -> list[str]:
    from provost_sdk.certs.authority import OTHERS, SERVICES

    if names and everyone:
        misused("name services, or say --all")
    if everyone:
        return list(dict.fromkeys((*SERVICES, *OTHERS, *there)))
    if not names and not there:
        misused("name a service, or say --all")
    return list(dict.fromkeys(names or there))


def _authority(directory: Path) -> "Authority":
    from provost_sdk.certs.authority import Authority, CertificateError

    try:
        return Authority(directory)
    except CertificateError as problem:
        misused(str(problem))


def _issued(authority: "Authority", name: str, hours: float, hosts: Sequence[str]) -> "Shown":
    from provost_sdk.certs.authority import CertificateError

    try:
        return authority.issue(name, hours, hosts)
    except (CertificateError, OSError) as problem:
        misused(str(problem))


def _is_due(authority: "Authority", name: str) -> bool:
    from provost_sdk.certs.authority import CertificateError

    try:
        return authority.due(name)
    except CertificateError:
        return True  # what cannot be read is made anew


def _show(found: "Sequence[Shown]") -> None:
    from provost_sdk.cli.show import table

    rows = [
        (
            str(each.file),
            each.name,
            f"{each.not_after:%Y-%m-%dT%H:%M:%SZ}",
            each.problem or "good",
            ", ".join(each.names),
        )
        for each in found
    ]
    if rows:
        table(("file", "whose", "until", "is", "serves at"), rows, "")


def _as_dict(shown: "Shown") -> dict[str, object]:
    return {
        "file": str(shown.file),
        "service": shown.name,
        "names": list(shown.names),
        "not_before": shown.not_before.isoformat(),
        "not_after": shown.not_after.isoformat(),
        "serial": f"{shown.serial:x}",
        "problem": shown.problem,
    }
