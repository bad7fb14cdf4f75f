"""`provost approvals`."""

from typing import TYPE_CHECKING, Annotated

import typer

from provost_sdk.cli.session import Address, AsJson, Key, ask, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2

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
        ("approval", "action", "on", "agent", "asked by", "yes", "until", "why"),
        (
            (
                each.approval_id,
                f"{each.action.name} {_parameters(dict(each.action.parameters))}".strip(),
                f"{each.action.target} ({each.action.environment})",
                each.agent_id,
                each.requested_by,
                _yes(each),
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
    _answer(approval_id, "APPROVE", comment, as_json, address, key)


@app.command()
def reject(
    approval_id: Which,
    comment: Comment = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Say no to it."""
    _answer(approval_id, "REJECT", comment, as_json, address, key)


@app.command("request-changes")
def request_changes(
    approval_id: Which,
    comment: Annotated[str, typer.Option("--comment", help="What to ask for instead.")],
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Send it back: not like this, but as the comment says."""
    _answer(approval_id, "REQUEST_CHANGES", comment, as_json, address, key)


def _answer(
    approval_id: str, vote: str, comment: str, as_json: bool, address: str | None, key: str | None
) -> None:
    from provost_sdk.models import as_dict, word

    approval = ask(
        "approver",
        address,
        key,
        lambda provost: provost.answer_approval(approval_id, vote=vote, comment=comment),
    )
    if as_json:
        print_json(as_dict(approval))
        return
    from provost_sdk.cli.show import console, plain

    action, state = approval.action, word(approval, "state")
    colours = {"APPROVED": "bold green", "PENDING": "bold yellow"}
    more = f"   {_yes(approval)}: more are needed" if state == "PENDING" else ""
    run = f"   provost runs show {approval.run_id} --wait 30" if approval.run_id else ""
    console().print(
        plain(state, colours.get(state, "bold red"))
        + plain(f"  {action.name} on {action.target}{more}")
        + plain(run, "dim")
    )


def _yes(approval: "policy_pb2.Approval") -> str:
    """As `1 of 2 (key:ann)`: how many have said yes, of how many that have to (for each rule), and who."""
    from provost_sdk.models import word

    said = [each.by for each in approval.votes if word(each, "vote") == "APPROVE"]
    who = f" ({', '.join(said)})" if said else ""
    if len({(part.needed, *part.approvers) for part in approval.parts}) < 2:
        return f"{len(said)} of {max(approval.needed, 1)}{who}"
    parts = (
        f"{len({*said} & {*part.approvers}) if part.approvers else len(said)} of {part.needed}"
        + (f" from {', '.join(part.approvers)}" if part.approvers else "")
        for part in approval.parts
    )
    return f"{' and '.join(parts)}{who}"


def _parameters(parameters: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(parameters.items()))
