"""`provost agents revoke|receipt`: the end of an agent's power, and the proof of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.agents import AgentId
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

# A receipt is written once; asking again under the same request id reads it.
_OF_THE_SILENT = (
    "  This receipt stays as it is. Who was only late has taken the power away all the same.",
    "  Who is not well says `provost status`: end that process. It holds nothing then, and has read the revocation",
    "  before it serves again.",
)
_COLUMNS = ("power over", "service", "process", "ended", "ms until powerless", "signed")


def revoke(
    agent_id: AgentId,
    reason: Annotated[str, typer.Option("--reason", help="Kept with the revocation.")] = "",
    wait_ms: Annotated[
        int,
        typer.Option(
            "--wait-ms", min=0, max=10_000, help="How long to wait for everyone's word; 0: two seconds."
        ),
    ] = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Take all power from an agent and those it controls, at once and for good.

    Exit code 1 if somebody was silent, or if there is no receipt yet.
    """
    from provost_sdk.models import as_dict

    answer = ask(
        "operator", address, key, lambda provost: provost.revoke(agent_id, reason=reason, wait_ms=wait_ms)
    )
    told = answer.HasField("receipt")
    if as_json:
        print_json(as_dict(answer))
    else:
        from provost_sdk.cli.show import console, plain

        console().print(plain(f"{agent_id} is revoked: it may do nothing from now on.", "bold red"))
        if told:
            _tell(answer.receipt)
    if not told:
        text = f"There is no receipt yet that says where it has lost its power: provost agents receipt {agent_id}"
        typer.echo(text, err=True)
    raise typer.Exit(Exit.OK if told and not answer.receipt.silent else Exit.NOT_WELL)


def receipt(
    agent_id: AgentId,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every signature in it, with the keys in the log.")
    ] = False,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose agent it is.")] = "default",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What a revocation took, where, and how fast, as each service measured it.

    Exit code 1 if somebody was silent, or if it does not prove what it says.
    """
    from provost_sdk.models import as_dict
    from provost_sdk.note import NotProved
    from provost_sdk.receipts import Keys, announced_keys, verify_receipt

    async def question(provost: "Provost") -> "tuple[policy_pb2.RevocationReceipt, Keys]":
        found = await provost.get_revocation_receipt(agent_id)
        return found, await announced_keys(provost) if verify else {}

    found, keys = ask("operator", address, key, question)
    if as_json:
        print_json(as_dict(found))
    else:
        _tell(found)
    if verify:
        try:
            proved = verify_receipt(found, keys, tenant=tenant)
        except NotProved as problem:
            typer.echo(f"NOT PROVED: {problem}", err=True)
            raise typer.Exit(Exit.NOT_WELL) from None
        typer.echo(
            f"proved: {proved.statements} statements, each signed by who made it; policy signed the whole",
            err=True,
        )
    raise typer.Exit(Exit.NOT_WELL if found.silent else Exit.OK)


def _tell(found: "policy_pb2.RevocationReceipt") -> None:
    from provost_sdk.cli.show import console, plain, table

    at = found.revoke_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    slowest = max((each.powerless_ms for each in found.lost), default=0.0)
    console().print(
        plain(f"Revoked at {at} UTC, sequence {found.revocation_sequence}; ")
        + plain(f"powerless everywhere that answered within {slowest:.1f} ms", "bold")
    )
    table(
        _COLUMNS,
        (
            (
                each.surface,
                each.service,
                each.replica,
                each.ended,
                f"{each.powerless_ms:.1f}",
                "yes" if each.statement else "NO",
            )
            for each in sorted(found.lost, key=lambda each: -each.powerless_ms)
        ),
        empty="Nobody has said that it held any power of this agent.",
    )
    for silent in found.silent:
        console().print(plain(f"  SILENT: {silent}: it may still have power there", "bold red"))
    for line in _OF_THE_SILENT if found.silent else ():
        console().print(plain(line))
    if found.children:
        console().print(plain(f"  with it: {', '.join(found.children)}"))
