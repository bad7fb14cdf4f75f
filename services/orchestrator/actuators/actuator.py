"""What an actuator is: one action of the vocabulary, what it takes, what it would do, how it does it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kernel.faults import Invalid
from services.orchestrator.domain.records import Action, Tier


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: the pattern its value must match whole, and what that is in words."""

    pattern: re.Pattern[str]
    words: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of an action. `changed` says whether anything outside is different now."""

    summary: str
    output: str
    changed: bool = False


class ActuatorFailed(Exception):
    """The action could not be carried out. `error_type` is a reason a program can count: 1 to 128 characters of
    `[A-Za-z0-9_.:-]`. Anything else counts as `ACTUATOR_FAILED`, and is told in the text."""

    def __init__(self, error_type: str, text: str, output: str = "") -> None:
        super().__init__(text)
        self.error_type = error_type
        self.output = output


@dataclass(frozen=True, slots=True)
class Offer:
    """What an actuator says of itself. `read_only` means that doing it twice does no more than doing it once."""

    action: str
    least_tier: Tier
    description: str
    read_only: bool
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


class Actuator(Protocol):
    """One thing that can be done here."""

    @property
    def offer(self) -> Offer: ...

    def unavailable(self) -> str:
        """Why it cannot be done on this machine; empty when it can."""
        ...

    def preview(self, action: Action) -> str:
        """What `perform` would run, in words. Touches nothing."""
        ...

    async def perform(self, action: Action) -> Finding:
        """Do it.

        Raises:
            ActuatorFailed: it could not be carried out. A bad state of the world is a finding, not a failure.
        """
        ...


LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def require_fit(action: Action, offer: Offer) -> None:
    """Refuse what the offer does not name.

    Raises:
        Invalid: PARAMETER_INVALID, with the parameter and what it may be.
    """
    for name in action.parameters:
        if name not in offer.parameters:
            known = ", ".join(sorted(offer.parameters)) or "none"
            raise Invalid(
                "PARAMETER_INVALID", f"{offer.action} takes no {name!r}; it takes: {known}", field=name
            )
    for name, parameter in offer.parameters.items():
        value = action.parameters.get(name)
        if value is None:
            if parameter.required:
                raise Invalid(
                    "PARAMETER_INVALID", f"{offer.action} needs {name!r}: {parameter.words}", field=name
                )
        elif parameter.pattern.fullmatch(value) is None:
            raise Invalid(
                "PARAMETER_INVALID", f"{offer.action}: {name!r} must be {parameter.words}", field=name
            )
    if action.target not in LOCAL:
        raise Invalid(
            "PARAMETER_INVALID",
            f"{offer.action} acts on this machine only (target localhost), not on {action.target[:100]!r}",
            field="target",
        )
