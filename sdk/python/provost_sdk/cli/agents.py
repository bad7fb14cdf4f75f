"""`provost agents`."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)
AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="Its id.")]


@app.command("list")
def list_(
    limit: pages.Limit = 1000, as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """Agents, their tiers, and whether they still have any power."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_agents(page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    columns = ("agent", "tier", "state", "version", "revoked because")
    pages.show(found, as_json, columns, _row, "No agents: provost agents register AGENT --tier T1")


@app.command()
def register(
    agent_id: AgentId,
    tier: Annotated[str, typer.Option("--tier", help="T0 to T3; T4 is got by promotion.")] = "T0",
    version: Annotated[str, typer.Option("--version", help="Of the agent's program.")] = "",
    parent: Annotated[
        str,
        typer.Option(
            "--parent", metavar="AGENT", help="Who controls it: revoked with that one, never above it."
        ),
    ] = "",
    secret: Annotated[
        bool, typer.Option("--secret/--no-secret", help="Make credentials for it; shown this once.")
    ] = True,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Make an agent known. Needs an admin's key."""
    from provost_sdk.client import tier_of
    from provost_sdk.errors import InvalidRequest
    from provost_sdk.models import as_dict, word

    try:
        tier_of(tier)
    except InvalidRequest as error:
        misused(str(error))

    async def question(
        provost: "Provost",
    ) -> "tuple[policy_pb2.Agent, policy_pb2.CreateSecretResponse | None]":
        agent = await provost.register_agent(agent_id, tier, version=version, parent=parent)
        return agent, await provost.create_secret(agent_id) if secret else None

    agent, made = ask("admin", address, key, question)
    if as_json:
        shown = {"role_id": made.role_id, "secret_id": made.secret_id} if made else {}
        print_json(as_dict(agent) | shown)
        return
    from provost_sdk.cli.show import console, plain

    console().print(plain(f"{agent.agent_id} is registered at {word(agent, 'tier')}.", "bold"))
    if made:
        console().print(plain(f"  role_id    {made.role_id}\n".rstrip("\n")))
        console().print(plain(f"  secret_id  {made.secret_id}"))
        console().print(plain("  The secret is shown this once; only its hash is kept.", "dim"))


def _row(each: "policy_pb2.Agent") -> Sequence[object]:
    from provost_sdk.cli.show import plain
    from provost_sdk.models import word

    return (
        each.agent_id,
        word(each, "tier"),
        plain(word(each, "state"), "red" if each.revoke_reason else ""),
        each.agent_version,
        f"{each.revoke_reason} (by {each.revoked_by})" if each.revoke_reason else "",
    )
