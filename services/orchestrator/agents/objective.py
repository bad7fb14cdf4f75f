"""A plan for a task without a log: which parts of the vocabulary its objective speaks of.

Words choose among actions; no word of the objective ever becomes part of one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.orchestrator.agents.actions import VOCABULARY, Tier


@dataclass(frozen=True, slots=True)
class Look:
    """One thing worth looking at, and the words that ask for it."""

    action: str
    words: re.Pattern[str]
    why: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def least_tier(self) -> Tier:
        return VOCABULARY[self.action].tier


def _words(*stems: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(stems)})", re.IGNORECASE)


LOOKS = (
    Look(
        "diagnostics.memory",
        _words("memory", "ram", "oom", "swap", "leak", "heap"),
        "how much memory is in use",
    ),
    Look(
        "diagnostics.disk",
        _words("disk", "space", "inode", "file ?system", "storage", "volume"),
        "how full the disks are",
    ),
    Look(
        "diagnostics.processes",
        _words("process", "cpu", "load", "zombie", "slow", "hang"),
        "what runs, and how much of it",
    ),
    Look(
        "diagnostics.sockets",
        _words("socket", "port", "network", "connect", "listen", "traffic"),
        "who listens and who is connected",
    ),
    Look(
        "ansible.check",
        _words("time", "clock", "ntp", "chrony"),
        "whether the clock is kept",
        {"play": "time_synchronised"},
    ),
    Look(
        "ansible.check",
        _words("ssh", "login", "password"),
        "whether sshd is strict",
        {"play": "sshd_hardened"},
    ),
)
AROUND = LOOKS[:4]
"""What to look at when the objective speaks of nothing known."""


def looks_for(objective: str) -> tuple[Look, ...]:
    """What the objective speaks of, in a sensible order; none when it speaks of nothing known."""
    return tuple(look for look in LOOKS if look.words.search(objective[:10_000]))
