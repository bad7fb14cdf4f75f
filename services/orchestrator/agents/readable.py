"""Whether a log is text at all. Of what is none, nobody can say that nothing is wrong."""

from __future__ import annotations

from array import array

from services.orchestrator.agents.finding import UNREADABLE, Finding
from services.orchestrator.agents.incident import Severity
from services.orchestrator.agents.reading import Reading

_REPLACED = "\N{REPLACEMENT CHARACTER}"
# What text has none of: tabs, ends of lines and pages, and the escapes that paint words are left out.
_CONTROLS = [chr(code) for code in (*range(9), *range(14, 27), *range(28, 32), 127)]
_FEW = 2
"""So many characters may be replaced in the shortest log."""


def unreadable(text: str, reading: Reading) -> list[Finding]:
    """One finding when more than a hundredth of a log was no UTF-8, or a third of it is no text; else none."""
    replaced = text.count(_REPLACED)
    strange = replaced + sum(map(text.count, _CONTROLS))
    if replaced <= max(_FEW, len(text) / 100) and strange <= len(text) / 3:
        return []
    shown = (n for n, line in enumerate(reading.lines, 1) if reading.kind_of[n - 1] >= 0 and is_strange(line))
    if (first := next(shown, None)) is None:
        return []
    says = (
        f"{strange / len(text):.0%} of its characters are bytes that are not UTF-8, or control characters, "
        "so whether anything is wrong cannot be said; send the log as text"
    )
    lines = array("i", [first])
    groups = {reading.kinds[reading.kind_of[first - 1]].group: lines}
    return [Finding(UNREADABLE, UNREADABLE, Severity.WARNING, 0.3, lines, groups, says)]


def is_strange(line: str) -> bool:
    """Whether a line has anything in it that is no text."""
    return _REPLACED in line or any(control in line for control in _CONTROLS)
