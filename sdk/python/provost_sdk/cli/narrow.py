"""Tables on a narrow terminal: how wide each column is, or each row by itself where that is easier to read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

_BETWEEN = 3
_GAP, _INDENT = "   ", "  "


def widths(columns: Sequence[str], cells: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """So wide is each column that no word is folded, and the first not at all.

    None where there is no room for that, or where rows shown by themselves take fewer lines.
    """
    whole = [max(1, cell_len(name), *(row[n].cell_len for row in cells)) for n, name in enumerate(columns)]
    room = width - _BETWEEN * len(columns)
    if sum(whole) <= room:
        return whole
    made = [
        max(1, _longest(name), *(_longest(row[n].plain) for row in cells)) for n, name in enumerate(columns)
    ]
    made[0] = whole[0]
    spare = room - sum(made)
    if spare < 0:
        return None
    wanting = sorted(range(len(columns)), key=lambda n: whole[n] - made[n])
    for at, n in enumerate(wanting):
        given = min(whole[n] - made[n], spare // (len(wanting) - at))
        made[n] += given
        spare -= given
    lines = sum(max(-(-cell.cell_len // most) for cell, most in zip(row, made, strict=True)) for row in cells)
    return made if lines <= sum(_lines(columns, row, width) + 1 for row in cells) else None


def records(out: "Console", columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> Text:
    """Each row by itself: what there is in it, each behind its heading, as much in a line as fits."""
    return Text("\n").join(Text("\n").join([*_record(out, columns, row), Text()]) for row in cells)


def _record(out: "Console", columns: Sequence[str], row: Sequence[Text]) -> list[Text]:
    pairs = _pairs(columns, row)
    lines = [pairs.pop(0)] if row[0].plain.strip() else []  # what is copied is not folded
    for pair in pairs:
        if lines and lines[-1].cell_len + len(_GAP) + pair.cell_len <= out.width:
            lines[-1] = lines[-1] + _GAP + pair
        else:
            first, *others = pair.wrap(out, out.width - 2 * len(_INDENT), overflow="fold")
            lines += [Text(_INDENT) + first, *(Text(_INDENT * 2) + each for each in others)]
    return lines


def _lines(columns: Sequence[str], row: Sequence[Text], width: int) -> int:
    """About as many as `_record` makes."""
    return 1 + sum(pair.cell_len + len(_GAP) for pair in _pairs(columns, row)) // width


def _pairs(columns: Sequence[str], row: Sequence[Text]) -> list[Text]:
    filled = [(name, cell) for name, cell in zip(columns, row, strict=True) if cell.plain.strip()]
    return [Text.assemble((f"{name} " if name else "", "dim"), cell) for name, cell in filled]


def _longest(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
