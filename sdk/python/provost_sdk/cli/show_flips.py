"""What a simulation found, for somebody who has to say whether a set may go live: how many first, then which."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provost_sdk.cli.session import print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2

_MOST_COUNTED = 10
LEFT_OUT = {
    "erased": "their data was erased",
    "not_reproduced": "the old set would not decide so either: they rested on something else",
    "unreadable": "their events cannot be read",
}


def progress(totals: "policy_pb2.SimulatePolicySetResponse.Totals") -> None:
    """On a terminal, how far it is."""
    if sys.stderr.isatty():
        print(
            f"\r{totals.decisions:,} decisions, {totals.flips:,} flips", end="", file=sys.stderr, flush=True
        )


def as_json(flips: list[Any], totals: "policy_pb2.SimulatePolicySetResponse.Totals") -> None:
    from provost_sdk.models import as_dict

    print_json({"totals": as_dict(totals), "flips": [as_dict(each) for each in flips]})


def report(
    flips: "list[policy_pb2.SimulatePolicySetResponse.Flip]",
    totals: "policy_pb2.SimulatePolicySetResponse.Totals",
) -> None:
    """Counts, what is left out, and the flips themselves."""
    from provost_sdk.cli.show import console, plain, table
    from provost_sdk.models import word

    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    rate = totals.decisions / totals.seconds if totals.seconds else 0.0
    said = f"{totals.flips:,} of {totals.decisions:,} decisions come out otherwise"
    if totals.decisions and not totals.decided:
        said = f"None of {totals.decisions:,} decisions could be decided again"
    console().print(
        plain(said, "bold yellow" if totals.flips or not totals.decided else "bold green")
        + plain(f"   ({totals.seconds:.1f} s, {rate:,.0f}/s, log position {totals.position})", "dim")
    )
    for name, counts in (
        ("change", totals.by_change),
        ("agent", totals.by_agent),
        ("action", totals.by_action),
    ):
        if counts:
            console().print(plain(f"  by {name:<8}{_counted(counts)}"))
    for why, n in sorted(totals.left_out.items()):
        console().print(plain(f"  left out: {n:,}, for {LEFT_OUT.get(why, why)}", "dim"))
    if not flips:
        return
    table(
        ("decision", "at", "agent", "action", "on", "was", "would be", "because"),
        (
            (
                each.decision_id,
                each.at.ToDatetime().strftime("%m-%d %H:%M:%S"),
                each.agent_id,
                each.action.name,
                f"{each.action.target} ({each.action.environment})",
                f"{word(each, 'before')} {each.before_reason}",
                plain(word(each, "after"), "red" if word(each, "after") == "DENY" else "yellow"),
                f"{each.after_rule}: {each.explanation}",
            )
            for each in flips
        ),
        empty="",
    )
    if len(flips) < totals.flips:
        console().print(plain(f"… and {totals.flips - len(flips):,} more: --limit shows them", "dim"))


def nothing_said(totals: "policy_pb2.SimulatePolicySetResponse.Totals", only: str) -> str:
    """Why a simulation that decided nothing again leaves open what the set would do; `only`: what was asked about."""
    if totals.decisions:
        said = f"none of the {totals.decisions:,} decisions{only} could be decided again"
        why = ": no set had a say in them" if not totals.left_out else ""
        return f"{said}{why}: that says nothing about the set"
    return f"no decision was looked at: none {'can be read' if totals.left_out else 'is on record'}{only}"


def _counted(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{name} {n:,}" for name, n in most[:_MOST_COUNTED])
    return shown + (f" and {len(most) - _MOST_COUNTED} more" if len(most) > _MOST_COUNTED else "")
