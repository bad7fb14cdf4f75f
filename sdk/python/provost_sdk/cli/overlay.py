"""`provost overlay`: configuration of WireGuard for hosts that share no network."""

from pathlib import Path
from typing import Annotated

import typer

from provost_sdk.cli.session import misused


def overlay(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the files are put; keep it to yourself.")
    ],
    hosts: Annotated[
        list[str],
        typer.Option(
            "--host",
            metavar="NAME=ENDPOINT",
            help="NAME= for one that others cannot reach; may be given again.",
        ),
    ],
    network: Annotated[str, typer.Option("--network", help="The overlay's own addresses.")] = "10.88.0.0/24",
) -> None:
    """A file for each host, as `wg-quick` reads it. Repeat it with more hosts to add some, or to move one."""
    from provost_sdk.certs.authority import CertificateError
    from provost_sdk.certs.overlay import make
    from provost_sdk.cli.show import table

    if bad := [each for each in hosts if "=" not in each]:
        misused(
            f"--host {bad[0]}: say where it is, as --host {bad[0]}=203.0.113.7, or --host {bad[0]}= when nowhere"
        )
    try:
        made = make(directory, dict(each.split("=", 1) for each in hosts), network)
    except (CertificateError, OSError) as problem:
        misused(str(problem))
    rows = [
        (str(directory / f"{each.name}.conf"), each.address, each.endpoint or "calls only", each.public)
        for each in made
    ]
    table(("file", "address", "reached at", "public key"), rows, "")
    print(
        f"Add {directory / 'hosts'} to /etc/hosts everywhere, and let each service listen on its host's address."
    )
