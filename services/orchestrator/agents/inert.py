"""Text out of a log, made harmless to show: one line, nothing that a terminal, a page or a reader of records
could obey.
"""

from __future__ import annotations

import re
import unicodedata

MAX_SHOWN = 400
# Control characters (C0, C1, DEL), line and paragraph separators, direction overrides, the byte order mark,
# surrogates.
_ACTIVE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def inert(text: str, limit: int = MAX_SHOWN) -> str:
    """The text on one line with every active character written out (`\\x1b`, `\\n`, `\\u202e`), cut to
    `limit` characters.
    """
    shown = _ACTIVE.sub(_written_out, text[: limit + 1])
    return shown if len(shown) <= limit else shown[: max(0, limit - 1)] + "…"


def _written_out(found: re.Match[str]) -> str:
    char = found[0]
    if char == "\t":
        return " "
    code = ord(char)
    named = {10: "\\n", 13: "\\r"}.get(code)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def plain(text: str, limit: int) -> str:
    """For use inside a sentence of our own: inert, without quotes and brackets that could end it, and
    composed (NFC).
    """
    return unicodedata.normalize("NFC", inert(text, limit)).replace("“", "'").replace("”", "'")
