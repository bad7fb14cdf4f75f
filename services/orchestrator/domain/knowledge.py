"""What earlier runs knew: which incidents are alike, what was tried on them, and what helped.

It is told to people and to nobody else. No agent is given it, no confidence rises by it, no action comes of it: it is
looked up when the plan has been made. Of a log's own words it keeps hashes alone.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from services.orchestrator.domain.records import EffectState, PastAction

NOTHING_WRONG = "none"
LEAST_SIMILARITY = 0.5
MOST_TOLD = 5
_MOST_CHARACTERS = 200
T = TypeVar("T")
_COUNTED = {EffectState.PREVIEWED: "previewed", EffectState.SUCCEEDED: "succeeded"}


def template_hashes(templates: Iterable[str], pepper: bytes) -> frozenset[str]:
    """What is kept of a log's templates: 16 hex digits of each one's HMAC, so that nobody can try guesses."""
    return frozenset(
        hmac.digest(pepper, each.encode("utf-8", "surrogatepass"), "sha256").hex()[:16] for each in templates
    )


def signature(templates: frozenset[str]) -> str:
    """The same for the same set of templates, and for no other."""
    return hashlib.sha256(" ".join(sorted(templates)).encode()).hexdigest()[:32]


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard index, 0 to 1; two incidents without templates are alike."""
    either = one | other
    return len(one & other) / len(either) if either else 1.0


def closest(templates: frozenset[str], others: Iterable[tuple[frozenset[str], T]]) -> list[tuple[float, T]]:
    """Those of `others` that are similar enough, and how similar: the most similar first, among equals the first."""
    found = ((round(similarity(templates, each), 3), other) for each, other in others)
    return sorted((each for each in found if each[0] >= LEAST_SIMILARITY), key=lambda each: -each[0])[
        :MOST_TOLD
    ]


def tried(
    before: Iterable[PastAction],
    names: Mapping[str, str],
    effects: Mapping[str, tuple[EffectState, bool]],
    compliant: bool,
) -> tuple[PastAction, ...]:
    """`before`, and what came of a run's `effects`, by name.

    `effects` are states by action id, and whether anything was changed; `names` stand beside them.
    What helped succeeded and changed something, in a run that ended compliant: who only looks helps nobody.
    """
    found = {each.name: each for each in before}
    for action_id, (state, changed) in effects.items():
        name = names.get(action_id)
        if name is None:
            continue  # no action of the plan
        each = found.get(name, PastAction(name))
        counted = _COUNTED.get(state, "failed")
        helped = each.helped + (compliant and changed and state is EffectState.SUCCEEDED)
        found[name] = replace(each, helped=helped, **{counted: getattr(each, counted) + 1})
    return tuple(found[name] for name in sorted(found))


def inert(text: str) -> str:
    """`text` on one line without anything that a terminal or a page could obey, cut to 200 characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:_MOST_CHARACTERS])
