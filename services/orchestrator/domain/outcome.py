"""What came of a run: checks, report, the sentence at the end. Pure functions of what has happened."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from services.orchestrator.domain.budget import BAD, VIOLATIONS
from services.orchestrator.domain.lifecycle import effect_id, verdict_of
from services.orchestrator.domain.records import (
    Check,
    EffectState,
    Handoff,
    LastKnownState,
    Mode,
    RevocationReason,
    Verdict,
)
from services.orchestrator.domain.run import Run

ARTIFACT = "artifact:"
_MOST_CHARACTERS = 1000  # of a text in a handoff; state, which sees it sealed, can cut nothing


def checks_of(run: Run, artifact_names: Iterable[str]) -> tuple[Check, ...]:
    """What VERIFY looks at: effects against decisions and intents, claims against evidence, deliverables."""
    plan = run.plan or ()
    allowed = [p.action.action_id for p in plan if verdict_of(run, p.action.action_id) is Verdict.ALLOW]
    missing = [a for a in allowed if effect_id(run, a) not in run.effects]
    missing += [a for a in unobserved(run) if a not in missing]
    unasked = [e.effect_id for e in run.effects.values() if verdict_of(run, e.action_id) is not Verdict.ALLOW]
    failed = [f"{e.action_id} {e.state}" for e in run.effects.values() if e.state in BAD]
    acted = [e.effect_id for e in run.effects.values() if e.state is not EffectState.PREVIEWED]
    blind = [e for e in acted if e not in run.intents] if run.known.mode is not Mode.SAFE else acted
    claims = run.incident.claims if run.incident else ()
    cited = {e.evidence_id for e in run.incident.evidence} if run.incident else set()
    unfounded = [c.statement for c in claims if not c.evidence or not set(c.evidence) <= cited]
    names = frozenset(artifact_names)
    absent = [a for a in required_artifacts(run) if a not in names]
    return (
        _check("every allowed action has an outcome", missing, f"{len(allowed)} allowed"),
        _check("nothing was done without an ALLOW", unasked, f"{len(run.effects)} effects"),
        _check(
            "nothing outside was touched"
            if run.known.mode is Mode.SAFE
            else "each effect was intended first",
            blind,
            f"{len(acted)} acted",
        ),
        _check("no action failed", failed, f"{len(run.effects)} effects"),
        _check("every claim cites lines of the log", unfounded, f"{len(claims)} claims, {len(cited)} lines"),
        _check("required artifacts are there", absent, f"{len(names)} artifacts"),
    )


def unobserved(run: Run) -> tuple[str, ...]:
    """The actions that may have been done, for they were intended, and of which nobody knows what came."""
    return tuple(action_id for effect, action_id in run.intents.items() if effect not in run.effects)


def _check(name: str, offenders: list[str], otherwise: str) -> Check:
    return Check(name, not offenders, ", ".join(offenders[:10]) or otherwise)


def required_artifacts(run: Run) -> tuple[str, ...]:
    """Names of artifacts that the packet demands: its deliverables of the form `artifact:<name>`."""
    packet = run.known.packet
    return (
        tuple(d.removeprefix(ARTIFACT) for d in packet.deliverables if d.startswith(ARTIFACT))
        if packet
        else ()
    )


def compliant(run: Run) -> bool:
    """No failed effect, no breach of procedure, every check passed."""
    return (
        all(check.ok for check in run.checks or ())
        and not any(effect.state in BAD for effect in run.effects.values())
        and not any(decision.reason in VIOLATIONS for decision in run.decisions.values())
    )


def outcome_of(run: Run) -> str:
    """One sentence for the person who asked."""
    if not run.plan:
        return "nothing to do: the plan is empty"
    verdicts = Counter(decision.verdict for decision in run.decisions.values())
    states = Counter(effect.state for effect in run.effects.values())
    back = [d for d in run.decisions.values() if d.reason == "CHANGES_REQUESTED"]
    spent = [d for d in run.decisions.values() if d.reason == "BUDGET_SPENT"]
    parts = [f"{len(run.plan)} planned"]
    parts += [f"{count} {word}" for word, count in (
        ("previewed", states[EffectState.PREVIEWED]),
        ("done", states[EffectState.SUCCEEDED]),
        ("failed", states[EffectState.FAILED] + states[EffectState.REFUSED]),
        ("of unknown outcome", states[EffectState.UNKNOWN] + len(unobserved(run))),
        ("sent back for changes", len(back)),
        ("stopped by a budget (BUDGET_SPENT)", len(spent)),
        ("denied", verdicts[Verdict.DENY] - len(back) - len(spent)),
        ("not approved", verdicts[Verdict.NEEDS_APPROVAL]),
    ) if count]  # fmt: skip
    tail = "; nothing outside was changed" if run.known.mode is Mode.SAFE else ""
    # An agent that gives its own plan no score did not do what it was asked: what it believes is said, then.
    if not run.incident and run.cycles and not run.cycles[-1].score:
        tail += f"; {run.cycles[-1].belief[:_MOST_CHARACTERS]}"
    # What people want otherwise is said where whoever started the run reads first.
    return (
        ", ".join(parts)
        + tail
        + "".join(f"; {each.action_id}: {each.explanation}" for each in back + spent[:1])
    )


def report_of(run: Run) -> bytes:
    """The report artifact: the whole run as JSON, keys sorted, so that the same run gives the same bytes."""
    started = run.known
    content: dict[str, Any] = {
        "run": {
            "run_id": started.run_id,
            "task_id": started.task_id,
            "objective": started.objective,
            "mode": started.mode,
            "strategy": started.strategy,
            "source": started.source,
            "packet": started.packet,
            "at": started.at,
        },
        "agent_id": run.agent_id,
        "incident": run.incident,
        "plan": run.plan or (),
        "decisions": [run.decisions[key] for key in sorted(run.decisions)],
        "effects": [run.effects[key] for key in sorted(run.effects)],
        "cycles": run.cycles,
        "past_incidents": run.past,
        "checks": run.checks or (),
        "outcome": outcome_of(run),
    }
    # Without `indent`, which would take json's slow way: half of all that a run computes in this process.
    return json.dumps(content, sort_keys=True, ensure_ascii=False, default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"a report holds no {type(value).__name__}")


def handoff_of(run: Run, kind: str, details: str) -> Handoff:
    """What the next agent must know when this one was revoked (row B11)."""
    packet = run.known.packet
    constraints = packet.constraints if packet else None
    source, done = run.known.source, run.effects.values()
    unclear = unobserved(run)
    undone = [
        p
        for p in run.plan or ()
        if effect_id(run, p.action.action_id) not in run.effects and p.action.action_id not in unclear
    ]
    tried = [f"{e.action_id}: {e.summary} ({e.state})" for e in done]
    tried += [
        f"{a}: it began and was cut off; look at the target before trying again (UNKNOWN)" for a in unclear
    ]
    return Handoff(
        task_id=run.known.task_id,
        previous_agent_id=run.agent_id,
        revoked=True,
        revocation_reason=RevocationReason(kind, details),
        last_known_state=LastKnownState(run.phase or "", run.state),
        what_was_tried=tuple(each[:_MOST_CHARACTERS] for each in tried),
        blocking_issue=details[:_MOST_CHARACTERS],
        required_next_actions=tuple(
            f"{p.action.name} on {p.action.target}: {p.why}"[:_MOST_CHARACTERS] for p in undone
        ),
        constraints_reminder=tuple(
            f"never {pattern}" for pattern in (constraints.forbidden if constraints else ())
        ),
        artifacts=tuple(sha for sha in (source.artifact_sha256 if source else "", run.report_sha256) if sha),
    )
