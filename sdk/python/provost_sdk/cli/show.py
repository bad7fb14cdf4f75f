"""Text on a terminal. What comes from a log, an agent or a person is shown inert: it cannot move a cursor, change a
colour, start a line of its own or be taken for markup."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 10_000

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


def console() -> "Console":
    """Where answers go. In a pipe nothing is wrapped, so that what is printed can be searched and copied."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Rows under headings, or `empty` when there are none. The first column is what is copied: it is never folded.

    What would not be readable in so narrow a table is shown row by row, each cell behind its heading.
    """
    from rich.text import Text

    from provost_sdk.cli import narrow

    cells = [[each if isinstance(each, Text) else plain(each) for each in row] for row in rows]
    out = console()
    if not cells:
        out.print(plain(empty, "dim"))
    elif (widths := narrow.widths(columns, cells, out.width)) is not None:
        out.print(_made(columns, cells, widths))
    else:
        out.print(narrow.records(out, columns, cells), no_wrap=True, overflow="ignore", crop=False)


def _made(columns: Sequence[str], cells: "list[list[Text]]", widths: Sequence[int]) -> "Table":
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for n, (column, width) in enumerate(zip(columns, widths, strict=True)):
        made.add_column(column, overflow="fold", no_wrap=n == 0, width=width)
    for row in cells:
        made.add_row(*row)
    return made


def _as_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
