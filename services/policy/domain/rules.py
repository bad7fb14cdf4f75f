"""What custom rules are told, and what they say: the same for rules evaluated here and for an OPA server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.policy.domain.action import Action, Packet, RunContext
from services.policy.domain.agent import Agent

MAX_RULE, MAX_SAID = 64, 500
"""Characters of a rule's id, and of its message; the rest of that is left out."""


@dataclass(frozen=True, slots=True)
class Said:
    """One rule's word: its id, as `no-friday-drains`, and its message."""

    rule: str
    text: str

    @classmethod
    def of(cls, message: object, nameless: str) -> "Said":
        """The word in what a rule has answered: a text, said by `nameless`, or an object of id and text.

        Raises:
            ValueError: it is neither, or has half a character in it, which no event can hold.
        """
        match message:
            case str(text):
                said = cls(nameless, text[:MAX_SAID])
            case {"id": str(rule), "text": str(text)} if 0 < len(rule) <= MAX_RULE and rule.isprintable():
                said = cls(rule, text[:MAX_SAID])
            case _:
                raise ValueError(f"{nameless} says what is neither a text nor an object of id and text")
        said.text.encode()
        return said


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What all rules say together. `failed` is why they could not be asked; then nothing may be done."""

    denied: tuple[Said, ...] = ()
    approvals: tuple[Said, ...] = ()
    failed: str = ""


SILENCE = RuleOutcome()


def rule_input(
    action: Action,
    context: RunContext,
    agent: Agent,
    packet: Packet | None,
    labels: tuple[str, ...],
    at_seconds: int,
) -> Mapping[str, Any]:
    """The `input` of a custom rule, as docs/policy.md has it: adding to it is a change, taking away a break."""
    return {
        "action": {
            "name": action.name,
            "target": action.target,
            "environment": action.environment,
            # Alike in whatever order they came, so that what was said to them is remembered.
            "parameters": dict(sorted(action.parameters.items())),
        },
        "agent": {"id": agent.agent_id, "tier": agent.tier.value, "version": agent.agent_version},
        "run": {
            "id": context.run_id,
            "task_id": context.task_id,
            "mode": context.mode.value if context.mode else "",
            "labels": list(labels),
            "steps_done": list(context.steps_done),
        },
        "packet": {
            "scope": list(packet.scope) if packet else [],
            "forbidden": list(packet.forbidden) if packet else [],
        },
        "time": {"unix_seconds": at_seconds},
    }
