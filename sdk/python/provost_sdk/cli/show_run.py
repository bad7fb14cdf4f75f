"""A run, readable at three in the morning: what is wrong, by which lines, what to do, what may be and what was done."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from provost_sdk.cli.show import console, plain
from provost_sdk.models import word

if TYPE_CHECKING:
    from rich.text import Text

    from provost.orchestrator.v1 import orchestrator_pb2

SEVERITIES = {
    "critical": "bold white on red",
    "high": "bold red",
    "error": "bold red",
    "medium": "bold yellow",
    "warning": "bold yellow",
    "low": "yellow",
    "info": "green",
}
VERDICTS = {"ALLOW": "green", "DENY": "red", "NEEDS_APPROVAL": "yellow"}
STATES = {
    "COMPLETED": "bold green",
    "WAITING": "bold yellow",
    "RUNNING": "bold blue",
    "REFUSED": "bold red",
    "FAILED": "bold red",
    "REVOKED": "bold red",
}
MAX_EVIDENCE = 12
MAX_PATTERNS = 8
MAX_CITED = 6


def show_run(run: "orchestrator_pb2.Run") -> None:
    """Print it."""
    out = console()
    for part in (_headline, _evidence, _patterns, _past, _plan, _outcome, _trace, _footer):
        for line in part(run):
            out.print(line)


def _headline(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    if run.HasField("incident"):
        incident = run.incident
        yield (
            plain(f" {incident.severity.upper()} ", SEVERITIES.get(incident.severity, "bold"))
            + plain(f"  {incident.cause}", "bold")
            + plain(f"   confidence {incident.confidence:.2f}", "dim")
        )
        yield plain(incident.summary)
    else:
        yield plain(run.objective, "bold")


def _evidence(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    found = run.incident.evidence
    if not found:
        return
    yield _title("Evidence")
    width = len(str(max(each.line for each in found)))
    for each in found[:MAX_EVIDENCE]:
        # The built-in agents call line 24 L24: that says it once.
        name = "" if each.evidence_id == f"L{each.line}" else f"{each.evidence_id:<5}"
        yield plain(f"  {name}", "dim") + plain(f"L{each.line:<{width}}  ", "cyan") + plain(each.text)
    yield from _more(len(found) - MAX_EVIDENCE, "lines")


def _patterns(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    found = run.incident.patterns
    if not found:
        return
    yield _title("Patterns")
    for each in found[:MAX_PATTERNS]:
        lines = f"lines {each.first_line}–{each.last_line}"
        yield plain(f"  ×{each.count:<6}", "cyan") + plain(f"{lines:<16} ", "dim") + plain(each.template)
    yield from _more(len(found) - MAX_PATTERNS, "patterns")


def _past(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    if not run.past:
        return
    yield _title("Seen before")
    for each in run.past:
        last = each.last_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
        times = f"{each.seen} time{'s' if each.seen != 1 else ''}"
        yield (
            plain(f"  {each.similarity:.0%} alike, {times}; last {last}: ")
            + plain(each.last_outcome or each.last_reason)
            + plain(f"   provost runs show {each.last_run_id}", "dim")
        )
        for tried in each.tried:
            done = tried.succeeded + tried.failed
            counts = (
                f"helped {tried.helped} of {done}" if tried.helped else f"ran {tried.succeeded} of {done}"
            )
            yield plain(
                f"      {tried.name}: {counts}"
                + (f", previewed {tried.previewed}" if tried.previewed else "")
            )


def _plan(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    """Each action with what policy says to it and what came of it."""
    if not run.plan:
        if run.HasField("incident"):
            yield _title("Plan")
            yield plain("  nothing to do", "dim")
        return
    decisions = {each.action_id: each for each in run.decisions}
    effects = {each.action_id: each for each in run.effects}
    yield _title("Plan, and what policy says to it")
    for planned in run.plan:
        action = planned.action
        parameters = ", ".join(f"{name}={value}" for name, value in sorted(action.parameters.items()))
        yield (
            plain(f"  {action.action_id:<4}", "dim")
            + plain(action.name, "bold")
            + plain(f" on {action.target} ({action.environment})" + (f" {parameters}" if parameters else ""))
            + plain(f"   at least {word(planned, 'least_tier')}", "dim")
        )
        yield plain(f"      {planned.why}") + plain(_cited(planned.evidence), "dim")
        decision = decisions.get(action.action_id)
        if decision is not None:
            verdict = word(decision, "verdict")
            yield (
                plain("      ")
                + plain(verdict, VERDICTS.get(verdict, "bold"))
                + plain(f" {decision.explanation or decision.reason}")
                + plain(f"   rule {decision.rule}, policy {decision.policy_version}", "dim")
            )
        effect = effects.get(action.action_id)
        if effect is not None:
            yield (
                plain(f"      {word(effect, 'state')} ", "bold")
                + plain(effect.error_message or effect.summary)
                + plain(f"   {effect.duration_ms} ms" + (", changed" if effect.changed else ""), "dim")
            )


def _outcome(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    state = word(run, "state")
    yield _title("Outcome")
    yield (
        plain("  ")
        + plain(state, STATES.get(state, "bold"))
        + plain(f"  {run.outcome or run.reason}")
        + plain(f"   {run.reason}" if run.outcome and run.reason != state else "", "dim")
    )
    if state == "RUNNING" and not run.phase:
        whom = f"agent {run.agent_id}, which is" if run.agent_id else "an agent of the crew: all are"
        yield plain(f"  has not begun: waits for {whom} busy or not attached", "yellow")
    for check in run.checks:
        mark = plain("  ✓ ", "green") if check.ok else plain("  ✗ ", "red")
        yield mark + plain(check.name) + plain(f"  {check.detail}", "dim")
    for approval in run.waiting_for:
        yield plain(f"  waits for: provost approvals approve {approval}", "yellow")


def _trace(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    if not run.include_trace or not run.cycles:
        return
    yield _title("Reasoning")
    for cycle in run.cycles:
        yield (
            plain(f"  {cycle.number}.  ", "dim")
            + plain(cycle.belief)
            + plain(f"   score {cycle.score:.2f}", "dim")
        )
        for name, text in (("criticism", cycle.criticism), ("changed", cycle.changed)):
            if text:
                yield plain(f"      {name}: ", "dim") + plain(text)


def _footer(run: "orchestrator_pb2.Run") -> "Iterator[Text]":
    source = run.source
    if source.replaced_bytes:
        yield plain(f"{source.replaced_bytes} bytes were not UTF-8 and were replaced.", "yellow")
    if source.redactions:
        kinds = ", ".join(f"{name} ×{count}" for name, count in sorted(source.redactions.items()))
        told = "What looks like a secret was taken out before anything was stored (by pattern: others may be left)"
        yield plain(f"{told}: {kinds}.", "yellow")
    yield plain("")
    lines = f"{source.lines} lines · " if source.lines else ""
    mode, phase = word(run, "mode").lower(), word(run, "phase")
    yield plain(
        f"run {run.run_id} · {lines}agent {run.agent_id} · {mode} · {phase} · sequence {run.sequence}", "dim"
    )


def _cited(evidence: "Sequence[str]") -> str:
    shown = ", ".join(evidence[:MAX_CITED])
    left = len(evidence) - MAX_CITED
    return f" [{shown}{f' and {left} more' if left > 0 else ''}]" if evidence else ""


def _title(text: str) -> "Text":
    return plain("").append("\n").append(text, style="bold underline")


def _more(left: int, what: str) -> "Iterator[Text]":
    if left > 0:
        yield plain(f"  … and {left} more {what} (--json shows all)", "dim")
