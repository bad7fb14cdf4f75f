"""`provost agents show|secret|suspend|resume|promote|demote`: who an agent is, and how far it is trusted."""

from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.agents import AgentId
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

Why = Annotated[str, typer.Option("--why", help="Kept with it.")]
To = Annotated[str, typer.Option("--to", metavar="TIER", help="T0 to T4; else the next one.")]


def show(agent_id: AgentId, as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """One agent: its tier, whether it may act, and what it has shown of itself."""
    from provost_sdk.models import as_dict, word

    agent = ask("operator", address, key, lambda provost: provost.get_agent(agent_id))
    if as_json:
        print_json(as_dict(agent))
        return
    from provost_sdk.cli.show import console, plain

    state, record = word(agent, "state"), agent.record
    styles = {"ACTIVE": "bold green", "SUSPENDED": "bold yellow"}
    said = (
        ("version", agent.agent_version),
        ("registered", f"{_at(agent, 'register_time')} by {agent.registered_by or 'nobody known'}"),
        ("parent", agent.parent_agent_id),
        ("suspended", agent.suspend_reason if state == "SUSPENDED" else ""),
        ("revoked", f"{_at(agent, 'revoke_time')} by {agent.revoked_by}" if state == "REVOKED" else ""),
        ("because", agent.revoke_reason),
        ("tier since", _at(record, "tier_since_time")),
        (
            "verified",
            f"{record.verified_runs} runs, {record.compliant_in_row} compliant in a row at this tier",
        ),
        ("violations", f"{record.violations}, {record.violations_at_tier} at this tier"),
    )
    console().print(
        plain(f"{agent.agent_id}  {word(agent, 'tier')}  ", "bold")
        + plain(state, styles.get(state, "bold red"))
    )
    for name, value in said:
        if value:
            console().print(plain(f"  {name:<12}{value}"))


def secret(
    agent_id: AgentId,
    wrap: Annotated[
        int,
        typer.Option(
            "--wrap",
            metavar="SECONDS",
            min=0,
            max=2**31 - 1,
            help="A token that is good for the secret, once, so long.",
        ),
    ] = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Another secret for an agent, shown this once; the last two are good. Needs an admin's key."""
    from provost_sdk.models import as_dict

    made = ask("admin", address, key, lambda provost: provost.create_secret(agent_id, wrap_seconds=wrap))
    if as_json:
        print_json(as_dict(made))
        return
    from provost_sdk.cli.show import console, plain

    console().print(plain(f"  role_id         {made.role_id}"))
    if made.wrapping_token:
        console().print(plain(f"  wrapping_token  {made.wrapping_token}"))
        console().print(
            plain(f"  Good for one secret, once, until {_at(made, 'wrapping_expire_time')} UTC.", "dim")
        )
        return
    console().print(plain(f"  secret_id       {made.secret_id}"))
    console().print(plain("  The secret is shown this once; only its hash is kept.", "dim"))


def suspend(
    agent_id: AgentId, why: Why = "", as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """Refuse an agent everything, until it is resumed."""
    agent = ask("operator", address, key, lambda provost: provost.suspend_agent(agent_id, why=why))
    _tell(
        agent,
        f"{agent_id} is suspended: it may do nothing until `provost agents resume {agent_id}`.",
        as_json,
    )


def resume(
    agent_id: AgentId, why: Why = "", as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """Let a suspended agent go on. Needs an admin's key."""
    agent = ask("admin", address, key, lambda provost: provost.resume_agent(agent_id, why=why))
    _tell(agent, f"{agent_id} may act again.", as_json)


def promote(
    agent_id: AgentId,
    to: To = "",
    why: Why = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Move an agent one tier up; to T4 once people have approved it. Exit code 4 if it waits for them."""
    from provost_sdk.models import as_dict

    _require_tier(to)

    async def question(provost: "Provost") -> "policy_pb2.PromoteAgentResponse":
        return await provost.promote_agent(agent_id, to or await _next(provost, agent_id, 1), why=why)

    answer = ask("admin", address, key, question)
    waits = answer.HasField("approval")
    if as_json:
        print_json(as_dict(answer))
    elif waits:
        from provost_sdk.cli.show import console, plain

        approval = answer.approval
        console().print(plain(f"{agent_id} waits for {approval.needed or 1} approval(s).", "bold yellow"))
        console().print(plain(f"  provost approvals approve {approval.approval_id}", "dim"))
    else:
        _tell(answer.agent, _moved(answer.agent), False)
    raise typer.Exit(Exit.WAITING if waits else Exit.OK)


def demote(
    agent_id: AgentId,
    to: To = "",
    why: Why = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Move an agent one tier down, at once."""
    _require_tier(to)

    async def question(provost: "Provost") -> "policy_pb2.Agent":
        return await provost.demote_agent(agent_id, to or await _next(provost, agent_id, -1), why=why)

    agent = ask("operator", address, key, question)
    _tell(agent, _moved(agent), as_json)


async def _next(provost: "Provost", agent_id: str, steps: int) -> str:
    """The tier beside the agent's; its own where there is none, which is refused with its reason."""
    number = int((await provost.get_agent(agent_id)).tier) - 1 + steps
    return f"T{min(max(number, 0), 4)}"


def _require_tier(to: str) -> None:
    from provost_sdk.client import tier_of
    from provost_sdk.errors import InvalidRequest

    try:
        tier_of(to or "T0")
    except InvalidRequest as error:
        misused(str(error))


def _moved(agent: "policy_pb2.Agent") -> str:
    from provost_sdk.models import word

    return f"{agent.agent_id} is {word(agent, 'tier')} now."


def _tell(agent: "policy_pb2.Agent", said: str, as_json: bool) -> None:
    from provost_sdk.cli.show import console, plain
    from provost_sdk.models import as_dict

    if as_json:
        print_json(as_dict(agent))
        return
    console().print(plain(said, "bold"))


def _at(
    message: "policy_pb2.Agent | policy_pb2.TrackRecord | policy_pb2.CreateSecretResponse", field: str
) -> str:
    if not message.HasField(field):  # type: ignore[arg-type]  # each has its own names
        return ""
    return str(getattr(message, field).ToDatetime().strftime("%Y-%m-%d %H:%M:%S"))
