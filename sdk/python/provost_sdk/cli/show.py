"""Text on a terminal. What comes from a log, an agent or a person is shown inert: it cannot move a cursor, change a
colour, start a line of its own or be taken for markup."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# C0 (tabs too), DEL, C1, line and paragraph separators, bidirectional and invisible controls, surrogates.
_ACTIVE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def inert(text: str) -> str:
    r"""`text` with everything that could act on a terminal written as `\xNN` or `\uNNNN`."""
    return _ACTIVE.sub(_as_escape, text)


def plain(text: object, style: str = "") -> "Text":
    """Inert text for rich; never parsed as markup."""
    from rich.text import Text

    return Text(inert(str(text)), style=style)


@cache
def console() -> "Console":
    """Where answers go."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Rows under headings, or `empty` when there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(each if isinstance(each, Text) else plain(each) for each in row))
    console().print(made if made.row_count else plain(empty, "dim"))


def _as_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
