"""`provost approvals`."""

from typing import Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

app = typer.Typer(no_args_is_help=True)
Which = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="Its id, as `provost approvals list` shows it.")
]
Comment = Annotated[str, typer.Option("--comment", help="Why; it is kept with the answer.")]


@app.command("list")
def list_(as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """What waits for a person's answer."""
    from provost_sdk.models import as_dict

    answer = ask("approver", address, key, lambda provost: provost.list_approvals())
    if as_json:
        print_json([as_dict(each) for each in answer.approvals])
        return
    from provost_sdk.cli.show import table

    table(
        ("approval", "action", "on", "agent", "asked by", "until", "why"),
        (
            (
                each.approval_id,
                f"{each.action.name} {_parameters(dict(each.action.parameters))}".strip(),
                f"{each.action.target} ({each.action.environment})",
                each.agent_id,
                each.requested_by,
                each.expire_time.ToDatetime().strftime("%H:%M:%S UTC"),
                each.why,
            )
            for each in answer.approvals
        ),
        empty="Nothing waits for an answer.",
    )


@app.command()
def approve(
    approval_id: Which,
    comment: Comment = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Let exactly this action be done, once."""
    _answer(approval_id, True, comment, as_json, address, key)


@app.command()
def reject(
    approval_id: Which,
    comment: Comment = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Say no to it."""
    _answer(approval_id, False, comment, as_json, address, key)


def _answer(
    approval_id: str, yes: bool, comment: str, as_json: bool, address: str | None, key: str | None
) -> None:
    from provost_sdk.models import as_dict, word

    approval = ask(
        "approver",
        address,
        key,
        lambda provost: provost.answer_approval(approval_id, approve=yes, comment=comment),
    )
    if as_json:
        print_json(as_dict(approval))
        return
    from provost_sdk.cli.show import console, plain

    action = approval.action
    console().print(
        plain(word(approval, "state"), "bold green" if yes else "bold red")
        + plain(f"  {action.name} on {action.target}")
        + plain(f"   provost runs show {approval.run_id} --wait 30", "dim")
    )


def _parameters(parameters: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(parameters.items()))
