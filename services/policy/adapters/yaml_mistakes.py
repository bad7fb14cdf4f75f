"""What the YAML parser finds wrong, in words of whoever writes a policy set, and where that is mended."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

_INDENTED = "the indentation fits nothing above: begin as far right as the lines that it belongs to"
_NO_COLON = "there is no ':' behind this name: write `name: value`"
_TWO_COLONS = "a second ': ' in one line: put the value in quotes, or the second name on a line of its own"
_OPEN = "this quote is never closed"
_NO_SPACE = "there is no space behind this ':': write `name: value`"

_NAME = re.compile(r"""[\s-]*+['"]?+[\w.*-]++['"]?+(?:(?P<tight>:)[^\s:]|\s*+(?:#.*)?$)""")


class Told(NamedTuple):
    """Line and column from 1; 0 where nobody knows."""

    line: int
    column: int
    text: str


class _Found(NamedTuple):
    """An error; `context` and `problem` are line and column of both its marks, from 1."""

    match: re.Match[str]
    context: tuple[int, int]
    problem: tuple[int, int]
    lines: list[str]


def told(error: YAMLError, document: str) -> Told:
    """The mistake in plain words; one that is not known here keeps the parser's, of what is wrong alone."""
    if isinstance(error, ReaderError):
        before = document[: error.position]
        text = f"U+{error.character:04X} cannot stand in YAML: take it out"
        return Told(before.count("\n") + 1, len(before) - before.rfind("\n"), text)
    if not isinstance(error, MarkedYAMLError):
        return Told(0, 0, f"not YAML: {str(error).splitlines()[0][:200]}")
    at = _from_one(error.problem_mark or error.context_mark)
    began = _from_one(error.context_mark or error.problem_mark)
    said = f"{error.context or ''}|{error.problem or ''}"
    for pattern, tell in _KNOWN:
        match = pattern.search(said)
        if match is not None:
            found = _Found(match, began, at, document.splitlines())
            return Told(*at, match.expand(tell)) if isinstance(tell, str) else tell(found)
    return Told(*at, str(error.problem or error.context or "not YAML"))


def _from_one(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _where_it_began(text: str) -> Callable[[_Found], Told]:
    return lambda found: Told(*found.context, text)


def _never_closed(found: _Found) -> Told:
    closing, instead = found.match.groups()
    opening = {"]": "[", "}": "{"}[closing]
    if instead in "]}":
        return Told(*found.problem, f"'{opening}' is closed with '{closing}', not with '{instead}'")
    if instead != "<stream end>" and found.problem[0] == found.context[0]:
        return Told(*found.problem, f"a comma is missing before this, or a '{closing}'")
    return Told(
        *found.context, f"this '{opening}' is never closed with '{closing}', or a comma is missing behind it"
    )


def _colon(found: _Found) -> Told:
    """A `:` where there was one before, or where the line above should have had one."""
    line, column = found.problem
    if re.search(r":\s", found.lines[line - 1][: column - 1]):
        return Told(line, column, _TWO_COLONS)
    return _open(found) or _name_above(found) or Told(line, _left(found.lines[line - 1]), _INDENTED)


def _indented(found: _Found) -> Told:
    """What begins a line; if the one above is a name that is not written as such, that one."""
    above = _name_above(found)
    if above is not None:
        text = found.lines[above.line - 1]
        if len(text) - len(text.lstrip()) == found.problem[1] - 1:
            return above
    return Told(*found.problem, _INDENTED)


def _open(found: _Found) -> Told | None:
    """A quote above that ends where another begins: of the lines with one that has no other, the last is alone."""
    odd = [n for n, text in enumerate(found.lines[: found.problem[0] - 1], 1) if text.count('"') % 2]
    return Told(odd[-1], found.lines[odd[-1] - 1].rindex('"') + 1, _OPEN) if len(odd) % 2 else None


def _name(found: _Found) -> Told:
    line, column = found.context
    return _named(found, line) or Told(line, column, _NO_COLON)


def _name_above(found: _Found) -> Told | None:
    lines = range(found.problem[0] - 1, 0, -1)
    return next((_named(found, n) for n in lines if found.lines[n - 1].split("#")[0].strip()), None)


def _named(found: _Found, line: int) -> Told | None:
    """Where this line misses a `:`, or the space behind it; None where it does not."""
    text = found.lines[line - 1]
    name = _NAME.match(text)
    if name is None:
        return None
    return (
        Told(line, name.start("tight") + 1, _NO_SPACE)
        if name["tight"]
        else Told(line, _left(text), _NO_COLON)
    )


def _left(text: str) -> int:
    """The column of what a line says."""
    return len(text) - len(text.lstrip(" -")) + 1


def _behind(found: _Found) -> Told:
    line, column = found.problem
    if not found.lines[line - 1][: column - 1].strip():
        return Told(line, column, _INDENTED)
    opened = _open(found)
    if opened is not None:
        return opened
    text = "this stands behind the end of a value: is a quote or a comma missing?"
    return Told(line, column, text)


_KNOWN: tuple[tuple[re.Pattern[str], str | Callable[[_Found], Told]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), tell)
    for pattern, tell in (
        (r"found character '\\t'", "a tab cannot stand here: indent with spaces"),
        (r"found character ['\"](.)['\"]", r"a value cannot begin with '\1': put it in quotes"),
        (r"quoted scalar\|found unexpected", _where_it_began(_OPEN)),
        (r"expected ',' or '(.)', but got '(.+)'", _never_closed),
        (r"but found '([]}])'", r"nothing is open that this '\1' could close"),
        (r"expected the node content", "a value is missing here"),
        (r"could not find expected ':'", _name),
        (r"mapping (?:values|keys) are not allowed", _colon),
        (r"sequence entries are not allowed", "a list begins on a line of its own, or stands in brackets: [a, b]"),
        (r"found duplicate key \"(.*)\" with value", r"'\1' is here for the second time: each name stands once"),
        (r"block collection\|.*found '\?'", "a name among the entries of a list: they all begin with '- '"),
        (r"block mapping\|.*found '-'", "an entry of a list among names: indent it below the name it belongs to"),
        (r"found ','", "a list on one line stands in brackets: [a, b]"),
        (r"found '<scalar>'", _behind),
        (r"found '<block|expected '<document start>'", _indented),
        (r"scanning an (?:alias|anchor)\|", _where_it_began("a value that begins with '*' or '&' has to be in quotes")),
        (r"block scalar\|expected", "the text begins on the next line: only '-' or '+' may stand here"),
        (r"unknown escape character '(.+)'", r"'\\\1' means nothing in double quotes: use single quotes, or '\\\\\1'"),
        (r"found another document", "a set is one document: nothing may follow this line's '---' or '...'"),
    )
)  # fmt: skip
