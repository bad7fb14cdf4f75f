"""`provost policy validate|test|diff|explain|simulate`: what a set says, before it is in force."""

import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from provost_sdk.cli.policy import File, document_in, ended, placed, warn
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

_AGO = {"m": "minutes", "h": "hours", "d": "days"}


def validate(file: File, as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Everything that is wrong with a set, each with its line and column. Exit code 1 if anything is."""
    from provost_sdk.cli.show import console, inert, plain
    from provost_sdk.models import as_dict

    document = document_in(file)
    answer = ask("operator", address, key, lambda provost: provost.validate_policy_set(document))
    failed = [each for each in answer.tests if not each.passed]
    well = not answer.problems and not failed
    if as_json:
        print_json(as_dict(answer))
        raise ended(well)
    for problem in answer.problems:
        print(inert(placed(file, problem)))
    warn(file, answer.warnings)
    for each in failed:
        print(inert(f"{file}:{each.line or 1}:1: test {each.name} failed: {each.text}"))
    if well:
        tests = f", {len(answer.tests)} tests passed" if answer.tests else ", and has no tests"
        console().print(plain(f"{file}: version {answer.version} could go live{tests}", "bold green"))
    raise ended(well)


def run_tests(file: File, as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """Run the tests inside a set. Exit code 1 if one fails, or the set cannot be read."""
    from provost_sdk.cli.show import console, inert, plain
    from provost_sdk.models import as_dict

    document = document_in(file)
    answer = ask("operator", address, key, lambda provost: provost.validate_policy_set(document))
    failed = [each for each in answer.tests if not each.passed]
    well = not answer.problems and not failed
    if as_json:
        print_json([as_dict(each) for each in answer.tests])
        raise ended(well)
    for problem in answer.problems:
        print(inert(placed(file, problem)))
    for each in answer.tests:
        said = plain("ok    ", "green") if each.passed else plain("FAILED", "bold red")
        console().print(said + plain(f" {each.name}") + plain(f"  {each.text}" if each.text else "", "dim"))
    if not answer.problems:
        text = f"{len(answer.tests) - len(failed)} of {len(answer.tests)} passed"
        console().print(plain(text, "bold green" if well else "bold red"))
    raise ended(well)


def diff(
    new: Annotated[
        str, typer.Argument(metavar="FILE|VERSION", help="A file, or a version that was in force.")
    ],
    old: Annotated[
        str, typer.Option("--from", metavar="VERSION", help="Compared with it; else that in force.")
    ] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Who may do what under one set and not, or otherwise, under the other; what is wider comes first."""
    from provost_sdk.models import as_dict, word

    document, version = _document_or_version(new, "FILE|VERSION")

    async def question(provost: "Provost") -> "policy_pb2.DiffPolicySetsResponse":
        return await provost.diff_policy_sets(new_document=document, new_version=version, old_version=old)

    answer = ask("operator", address, key, question)
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain, table

    console().print(plain(f"from version {answer.old_version} to {answer.new_version}", "dim"))
    table(
        ("", "what", "tier", "environment", "action", "before", "after"),
        (
            (
                plain("WIDER", "bold yellow") if each.wider else "",
                each.kind,
                word(each, "tier"),
                each.environment,
                each.action,
                each.before or "no",
                each.after or "no",
            )
            for each in sorted(answer.differences, key=lambda each: not each.wider)
        ),
        empty="They say the same.",
    )


def explain(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Who would ask.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="As service.restart.")],
    target: Annotated[str, typer.Option("--target", help="What it would be done to.")] = "",
    environment: Annotated[
        Literal["sandbox", "staging", "production"], typer.Option("--environment", "--env", help="Where.")
    ] = "sandbox",
    mode: Annotated[Literal["safe", "assisted", "auto"], typer.Option("--mode", help="Of the run.")] = "auto",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help="May be given again.")
    ] = None,
    task: Annotated[
        str, typer.Option("--task", help="The agent's packet has to be of it; else that which it is of.")
    ] = "",
    run: Annotated[str, typer.Option("--run", help="With the labels and steps of this run.")] = "explain",
    tier: Annotated[str, typer.Option("--tier", help="As if the agent had it.")] = "",
    version: Annotated[str, typer.Option("--version", help="Under this set; else that in force.")] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What would be decided now, by which rule, and what would have to change for a yes. Changes and counts nothing."""
    from provost_sdk.client import tier_of
    from provost_sdk.errors import InvalidRequest
    from provost_sdk.models import as_dict, word

    pairs = [each.partition("=") for each in parameter or ()]
    if any(not equals for _, equals, _ in pairs):
        misused("--parameter: write it as NAME=VALUE")
    if tier:
        try:
            tier_of(tier)
        except InvalidRequest as error:
            misused(str(error))

    async def question(provost: "Provost") -> "policy_pb2.ExplainResponse":
        parameters = {name: value for name, _, value in pairs}
        return await provost.explain(
            agent, action, target=target, environment=environment, parameters=parameters, mode=mode, run=run,
            task=task, tier=tier, version=version,
        )  # fmt: skip

    answer = ask("operator", address, key, question)
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import console, plain

    said, verdict = answer.decision, word(answer.decision, "verdict")
    styles = {"ALLOW": "bold green", "DENY": "bold red"}
    console().print(
        plain(verdict, styles.get(verdict, "bold yellow"))
        + plain(f"  {said.reason} by {said.rule} (policy set {said.policy_version})")
    )
    console().print(plain(f"  {said.explanation}"))
    if len(said.changes) > 1:
        console().print(plain("  for a yes, all of these:", "bold"))
    for change in said.changes:
        begin = "  for a yes: " if len(said.changes) == 1 else "    "
        console().print(plain(f"{begin}{change.what} → {change.to} (by {change.by})", "bold"))
    for check in answer.checks:
        mark = plain("  ✓ ", "green") if check.passed else plain("  ✗ ", "bold red")
        console().print(mark + plain(f"{check.rule:<24} {check.text}", "" if not check.passed else "dim"))


def simulate(
    new: Annotated[
        str, typer.Option("--set", metavar="FILE|VERSION", help="A file, or a version that was in force.")
    ],
    since: Annotated[
        str, typer.Option("--from", help="RFC 3339, or so long ago, as 7d, 12h, 30m; else the beginning.")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="Before this time, likewise; else now.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Only decisions on this one.")] = "",
    most_flips: Annotated[
        int | None, typer.Option("--most-flips", min=0, help="Exit code 1 if there are more.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Show at most so many.")] = 50,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Decide recorded history again under another set, and show every decision that comes out otherwise.

    Exit code 1 if there was none to decide, or none could be decided again: that says nothing about the set.
    """
    from provost_sdk.cli import show_flips
    from provost_sdk.cli.show import inert

    document, version = _document_or_version(new, "--set")
    times = {"from_time": _time(since, "--from"), "to_time": _time(until, "--to")}

    async def question(provost: "Provost") -> "tuple[list[Any], Any]":
        flips: list[Any] = []
        totals: Any = None
        telling: Any = provost.simulate_policy_set(
            document=document, version=version, agent=agent, max_flips=limit, **times
        )
        async with aclosing(telling) as answers:
            async for answer in answers:
                flips += answer.flips
                totals = answer.totals
                if not answer.done:
                    show_flips.progress(totals)
        return flips, totals

    flips, totals = ask("operator", address, key, question)
    if as_json:
        show_flips.as_json(flips, totals)
    else:
        show_flips.report(flips, totals)
    if not totals.decided:
        given = {"--from": since, "--to": until, "--agent": agent}
        only = " ".join(f"{option} {text}" for option, text in given.items() if text)
        print(show_flips.nothing_said(totals, f" for {inert(only)}" if only else ""), file=sys.stderr)
        raise typer.Exit(Exit.NOT_WELL)
    too_many = most_flips is not None and totals.flips > most_flips
    if too_many:
        print(f"{totals.flips} decisions come out otherwise, more than {most_flips}", file=sys.stderr)
    raise typer.Exit(Exit.NOT_WELL if too_many else Exit.OK)


def _document_or_version(new: str, argument: str) -> tuple[str, str]:
    """What is meant by `new`: a file if there is one, or if it looks like one; else a version."""
    if not new.strip():
        misused(f"{argument} is empty: name a file with a policy set in it, or a version that was in force")
    path = Path(new)
    if path.exists() or "/" in new or path.suffix in (".yaml", ".yml"):
        return document_in(path), ""
    return "", new


def _time(text: str, option: str) -> datetime | None:
    from provost_sdk.cli.filters import time_in

    unit = _AGO.get(text[-1:])
    if unit is not None and text[:-1].isascii() and text[:-1].isdecimal() and len(text) < 8:
        try:
            return datetime.now(UTC) - timedelta(**{unit: int(text[:-1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)  # before there were years: everything is later
    return time_in(text, option, ", or so long ago, as 7d, 12h or 30m")
