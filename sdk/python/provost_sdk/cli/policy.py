"""`provost policy`."""

import typer

from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def policy() -> None:
    """The rules in force."""


@app.command()
def show(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """The policy set in force, as it was published."""
    from provost_sdk.models import as_dict

    answer = ask("operator", address, key, lambda provost: provost.get_policy_set())
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain

    console().print(plain(f"# version {answer.version}, sequence {answer.sequence}", "dim"))
    for line in answer.document.splitlines():
        console().print(plain(line))
