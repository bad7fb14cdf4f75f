"""`provost approvals`."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)
PROMOTE = "agent.promote"
_OF_PROMOTIONS = frozenset(
    ("from", "to", "since", "rule", "policy_version", "compliant_in_row", "violations", "run_ids")
)
Which = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="Its id, as `provost approvals list` shows it.")
]
Comment = Annotated[str, typer.Option("--comment", help="Why; it is kept with the answer.")]


@app.command("list")
def list_(
    limit: pages.Limit = 100, as_json: AsJson = False, address: Address = None, key: Key = None
) -> None:
    """What waits for a person's answer; what expires first comes first."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_approvals(page_size=size, page_token=token)

    found = pages.rows(
        page, limit, address, key, "approver", first=lambda each: each.expire_time.ToNanoseconds()
    )
    columns = ("approval", "action", "on", "agent", "asked by", "yes", "until", "why")
    pages.show(found, as_json, columns, _row, "Nothing waits for an answer.")


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
    if not comment.strip():
        misused("--comment is empty: say what to ask for instead")
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


def _row(each: "policy_pb2.Approval") -> Sequence[object]:
    return (
        each.approval_id,
        _action(each.action),
        f"{each.action.target} ({each.action.environment})",
        each.agent_id,
        each.requested_by,
        _yes(each),
        each.expire_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC"),
        each.why,
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


def _action(action: "policy_pb2.Action") -> str:
    """As `network.block_source source=203.0.113.77`; a promotion as `agent.promote T3 → T4, 12 verified runs`."""
    parameters = dict(action.parameters)
    said = []
    if action.name == PROMOTE and {"from", "to"} <= parameters.keys():
        said.append(_promotion(parameters))
        parameters = {name: value for name, value in parameters.items() if name not in _OF_PROMOTIONS}
    said += (f"{name}={value}" for name, value in sorted(parameters.items()))
    return f"{action.name} {', '.join(said)}".strip()


def _promotion(grounds: dict[str, str]) -> str:
    """What a promotion rests on, in short; --json has all of it."""
    before, after = (grounds[name].partition("_")[0] for name in ("from", "to"))
    runs, violations = grounds.get("compliant_in_row", "0"), grounds.get("violations", "0")
    said = f"{before} → {after}, {runs} verified run{'' if runs == '1' else 's'}"
    if violations != "0":
        said += f", {violations} violation{'' if violations == '1' else 's'}"
    return said + (f", by rule {grounds['rule']}" if grounds.get("rule") else "")
