"""`provost state`: agents, locks, packets and checkpoints as they are now; whether the store is what it has to be."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, print_json, tell

if TYPE_CHECKING:
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]
OfTask = Annotated[str, typer.Option("--task", help="Only of this task.")]


@app.command()
def show(agent: Agent, as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """An agent as it is: task, phase, lock, errors against the budget, what it waits for, whether it is stuck."""
    from provost_sdk.models import as_dict

    answer = ask("operator", address, key, lambda provost: provost.get_agent_state(agent))
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli import show_state

    show_state.agent(answer)


@app.command()
def locks(
    task: OfTask = "",
    limit: pages.Limit = 100,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """The locks that are held, and who waits for each."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_locks(task=task, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    pages.show(found, as_json, show_state.LOCKS, show_state.lock_row, "No lock is held.")


@app.command("force-release")
def force_release(
    agent: Agent,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is written down.")],
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Take an agent's lock away from its holder, whose writes are refused from then on."""
    answer = ask("operator", address, key, lambda provost: provost.force_release_lock(agent, reason=reason))
    said = f"The lock of {agent} was taken away at sequence {answer.sequence}; its token is stale"
    tell(answer, said, as_json)


@app.command()
def stuck(
    task: OfTask = "",
    limit: pages.Limit = 100,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """The agents that make no progress, and how that shows; exit code 1 if there are any."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_stuck_agents(task=task, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    pages.show(found, as_json, show_state.STUCK, show_state.stuck_row, "No agent is stuck.")
    raise typer.Exit(Exit.NOT_WELL if found else Exit.OK)


@app.command()
def packets(
    agent: Agent,
    limit: pages.Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What an agent was told to do, newest first."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_packets(agent, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key, of=lambda provost: provost.get_agent_state(agent))
    pages.show(found, as_json, show_state.PACKETS, show_state.packet_row, "No packets.")


@app.command()
def checkpoints(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    limit: pages.Limit = 30,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Where a run stood, newest first: what it can go on from."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_checkpoints(run, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key, of=lambda provost: provost.get_run(run))
    pages.show(found, as_json, show_state.CHECKPOINTS, show_state.checkpoint_row, "No checkpoints.")


@app.command()
def verify(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Compare store and memory with the event log, TTLs aside; exit code 0 only if equal. An auditor's key."""
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
            if (others := answer.differing_key_count - len(answer.differing_keys)) > 0:
                console().print(plain(f"  and {others} more, of this tenant or of others"))
    raise typer.Exit(Exit.OK if answer.equal else Exit.NOT_WELL)


@app.command()
def rebuild(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Wipe the store and fill it from the event log again. Needs an admin's key."""
    answer = ask("admin", address, key, lambda provost: provost.rebuild_store())
    said = f"Rebuilt from {answer.events} events: {answer.state_hash}"
    tell(answer, said, as_json)
