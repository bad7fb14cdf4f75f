"""`provost state`."""

import typer

from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, print_json

app = typer.Typer(no_args_is_help=True)


@app.command()
def verify(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Compare the store with the event log, heartbeats and TTLs aside; exit code 0 only if equal. An auditor's key."""
    from provost_sdk.models import as_dict

    answer = ask("auditor", address, key, lambda provost: provost.verify_store())
    if as_json:
        print_json(as_dict(answer))
    else:
        from provost_sdk.cli.show import console, plain

        if answer.equal:
            console().print(
                plain(f"Equal at sequence {answer.at_sequence}: {answer.store_hash}", "bold green")
            )
        else:
            console().print(plain("They differ:", "bold red"))
            for name in answer.differing_keys:
                console().print(plain(f"  {name}"))
    raise typer.Exit(Exit.OK if answer.equal else Exit.NOT_WELL)


@app.command()
def rebuild(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Wipe the store and fill it from the event log again. Needs an admin's key."""
    from provost_sdk.models import as_dict

    answer = ask("admin", address, key, lambda provost: provost.rebuild_store())
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain

    console().print(plain(f"Rebuilt from {answer.events} events: {answer.state_hash}", "bold green"))
