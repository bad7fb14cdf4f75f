"""From claims to a plan. No claim, no action; and nothing of a log's text gets into an action but values of a
strict form.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.orchestrator.agents.actions import VOCABULARY, mistake_in, well_formed
from services.orchestrator.agents.incident import Action, Claim, Plan, Severity
from services.orchestrator.agents.rules import SLOT, Remedy, Rules

MAX_ACTIONS = 12
MAX_EACH = 3
_LEAST_CONFIDENCE = 0.5
_LOCAL = "localhost"


def plan(claims: tuple[Claim, ...], rules: Rules) -> Plan:
    """What may help against the claims, the least that has to be trusted first; at most twelve actions, each
    once.
    """
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], Action] = {}
    remedies_of = {rule.id: rule.remedies for rule in rules.rules}
    for claim in claims:
        if claim.rule not in remedies_of and not claim.rule.startswith("unexplained."):
            continue  # words to a reader ask for nothing
        for remedy in remedies_of.get(claim.rule) or rules.causes[claim.cause].remedies:
            if VOCABULARY[remedy.action].changes and not _grave(claim):
                continue
            for action in _actions(remedy, claim):
                key = (action.name, action.target, tuple(sorted(action.parameters.items())))
                found[key] = _joined(found[key], action) if key in found else action
    order = {action: n for n, action in enumerate(VOCABULARY)}
    ranked = sorted(
        enumerate(found.values()), key=lambda item: (item[1].least_tier, item[0], order[item[1].name])
    )
    return Plan(tuple(action for _, action in ranked[:MAX_ACTIONS]))


def _grave(claim: Claim) -> bool:
    """Whether a claim can ask for a change at all."""
    return claim.severity.rank >= Severity.ERROR.rank and claim.confidence >= _LEAST_CONFIDENCE


def _actions(remedy: Remedy, claim: Claim) -> list[Action]:
    """A remedy for one claim: one action, or one for each subject; none when a value is missing or not of its
    form.
    """
    if remedy.each:
        values = [s.value for s in claim.subjects if s.kind == remedy.each and not _own(s.value)][:MAX_EACH]
        chosen: list[Mapping[str, str]] = [{remedy.each: value} for value in values]
    else:
        chosen = [{s.kind: s.value for s in reversed(claim.subjects)}]
    actions = []
    for values_of in chosen:
        parameters = {key: _filled(text, values_of) for key, text in remedy.parameters.items()}
        target = _filled(remedy.target, values_of)
        if target is None or any(value is None for value in parameters.values()):
            continue
        strict = {key: value for key, value in parameters.items() if value is not None}
        if mistake_in(remedy.action, strict) or not (target == _LOCAL or well_formed("source", target)):
            continue
        form = VOCABULARY[remedy.action]
        actions.append(
            Action(
                name=form.name,
                target=target,
                environment="sandbox",
                parameters=strict,
                least_tier=form.tier,
                why=remedy.why,
                evidence=tuple(f"L{line}" for line in claim.evidence),
            )
        )
    return actions


def _filled(text: str, values: Mapping[str, str]) -> str | None:
    """A remedy's text with its slots filled; None when a value is missing or not of its form."""
    found = SLOT.fullmatch(text)
    if found is None:
        return text
    if found[1] in values:
        return values[found[1]] if well_formed(found[1], values[found[1]]) else None
    otherwise: str | None = found[2]
    return otherwise


def _own(address: str) -> bool:
    """Loopback and unspecified addresses are never to be blocked."""
    return address.startswith("127.") or address in {"0.0.0.0", "::", "::1", "localhost"}  # noqa: S104 (refused here)


def _joined(first: Action, second: Action) -> Action:
    """One action for two claims: it rests on the lines of both."""
    both = dict.fromkeys((*first.evidence, *second.evidence))
    return Action(
        first.name,
        first.target,
        first.environment,
        first.parameters,
        first.least_tier,
        first.why,
        tuple(both),
    )
