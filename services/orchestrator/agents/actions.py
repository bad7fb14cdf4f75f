"""The vocabulary of actions that a plan may use, and the strict forms of their parameters.

Nothing here acts. A value that comes out of a log reaches a parameter only if it has the parameter's strict
form; free text never does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """How much an agent is trusted; an action names the least tier that may take it."""

    T0_OBSERVER = "T0_OBSERVER"
    T1_OPERATOR = "T1_OPERATOR"
    T2_BUILDER = "T2_BUILDER"
    T3_EXECUTOR = "T3_EXECUTOR"
    T4_ARCHITECT = "T4_ARCHITECT"


_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62}){0,8}"
_UNIT = r"[A-Za-z0-9][A-Za-z0-9_@-]{0,62}(?:\.[A-Za-z0-9_@-]{1,40}){0,4}"

# Parameter → the whole of what it may be. Also what `extract` in a rule may take from a line.
FORMS: Mapping[str, re.Pattern[str]] = {
    "source": re.compile(
        rf"(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|[0-9a-fA-F]{{0,4}}(?::[0-9a-fA-F]{{0,4}}){{2,7}}|{_HOST})"
    ),
    "unit": re.compile(_UNIT),
    "service": re.compile(_UNIT),
    "package": re.compile(r"[a-z0-9][a-z0-9+.-]{0,62}"),
    "path": re.compile(
        r"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}){0,8}/?)?"
    ),
    "device": re.compile(r"[a-z]{2,6}\d{0,3}(?:n\d{1,3})?(?:p\d{1,3})?"),
    "node": re.compile(_HOST),
    "play": re.compile("service_running|disk_space|time_synchronised|package_present|sshd_hardened"),
}


@dataclass(frozen=True, slots=True)
class Form:
    """One action of the vocabulary: the least tier that may take it, whether it changes anything, and its
    parameters.
    """

    name: str
    tier: Tier
    changes: bool
    required: tuple[str, ...] = ()


_PLAYS: Mapping[str, tuple[str, ...]] = {
    "service_running": ("service",),
    "disk_space": ("path",),
    "time_synchronised": (),
    "package_present": ("package",),
    "sshd_hardened": (),
}

VOCABULARY: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("diagnostics.memory", Tier.T0_OBSERVER, changes=False),
        Form("diagnostics.disk", Tier.T0_OBSERVER, changes=False),
        Form("diagnostics.processes", Tier.T0_OBSERVER, changes=False),
        Form("diagnostics.sockets", Tier.T0_OBSERVER, changes=False),
        Form("diagnostics.unit", Tier.T0_OBSERVER, changes=False, required=("unit",)),
        Form("ansible.check", Tier.T1_OPERATOR, changes=False, required=("play",)),
        Form("service.restart", Tier.T2_BUILDER, changes=True, required=("unit",)),
        Form("network.block_source", Tier.T3_EXECUTOR, changes=True, required=("source",)),
        Form("node.drain", Tier.T3_EXECUTOR, changes=True),
        Form("storage.expand", Tier.T3_EXECUTOR, changes=True),
        Form("hardware.replace", Tier.T4_ARCHITECT, changes=True),
    )
}


def mistake_in(name: str, parameters: Mapping[str, str]) -> str:
    """What is wrong with an action's name or parameters; empty when nothing is."""
    form = VOCABULARY.get(name)
    if form is None:
        return f"unknown action {name!r}"
    wanted = form.required + (_PLAYS.get(parameters.get("play", ""), ()) if name == "ansible.check" else ())
    if set(parameters) != set(wanted):
        return f"{name} takes the parameters {sorted(wanted)}, not {sorted(parameters)}"
    for key, value in parameters.items():
        if not well_formed(key, value):
            return f"{name}: {key} is not of the form that it must have"
    return ""


def well_formed(parameter: str, value: str) -> bool:
    """Whether a value is, as a whole, of the strict form of a parameter."""
    if FORMS[parameter].fullmatch(value) is None:
        return False
    if parameter == "source" and re.fullmatch(r"[\d.]+", value):
        return all(int(part) <= 255 for part in value.split("."))
    return parameter != "path" or ".." not in value
