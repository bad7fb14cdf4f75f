"""Functions of Rego that the interpreter has not, or answers otherwise than OPA's own engine, as that one has them.

Patterns are RE2's (Go's `regexp`), globs those of `github.com/gobwas/glob`, formats those of Go's `fmt`: where they are
used, to look like them is not enough, for a rule that is silent by mistake allows. tests/system/test_opa.py holds each
against OPA's own. What raises here is a failure of its rule, which denies.
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

_QUIET = re2.Options()
_QUIET.log_errors = False
_REFERENCE = re.compile(r"\$(?:\$|(?P<name>\w+)|\{(?P<braced>\w+)\})")
_VERB = re.compile(r"%(?P<flags>[-+ 0]*)(?P<width>\d*)(?P<places>\.\d*)?(?P<verb>.)", re.DOTALL)
_GLOB = re.compile(
    r"(?P<super>\*\*+)|(?P<any>\*)|(?P<one>\?)|\\(?P<escaped>.)|\[(?P<not>!?)(?:(?P<low>[^]\\])-(?P<high>[^]\\])|(?P<list>[^]\\]+))\]"
    r"|(?P<open>\{)|(?P<close>\})|(?P<or>,)|(?P<char>[^\\[])",
    re.DOTALL,
)


def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as error:
        raise ValueError(f"{pattern} is no pattern: {error.args[0].decode()}") from None


def _matches(pattern: str, text: str, most: int = -1) -> Iterator[Any]:
    """Every match, or so many at most, as Go's regexp finds them: no empty one right behind another."""
    compiled, at, ended = _compiled(pattern), 0, -1
    while most and at <= len(text) and (match := compiled.search(text, at)):
        start, end = match.span()
        if start < end or start != ended:
            yield match
            most -= 1
        at, ended = max(end, at + 1), end


def _is_match(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


def _is_valid(pattern: str) -> bool:
    try:
        _compiled(pattern)
    except ValueError:
        return False
    return True


def _find(pattern: str, text: str, most: int) -> list[str]:
    return [match.group() for match in _matches(pattern, text, most)]


def _find_groups(pattern: str, text: str, most: int) -> list[list[str]]:
    return [
        [match.group(), *(each or "" for each in match.groups())] for match in _matches(pattern, text, most)
    ]


def _split(pattern: str, text: str) -> list[str]:
    if pattern and not text:
        return [""]
    parts, at, end = list[str](), 0, 0
    for match in _matches(pattern, text):
        end = match.start()
        if match.end():
            parts.append(text[at:end])
        at = match.end()
    return parts if end == len(text) else [*parts, text[at:]]


def _replace(text: str, pattern: str, by: str) -> str:
    parts, at = list[str](), 0
    for match in _matches(pattern, text):
        parts += [text[at : match.start()], _REFERENCE.sub(_group_of(match), by)]
        at = match.end()
    return "".join((*parts, text[at:]))


def _group_of(match: Any) -> Callable[[re.Match[str]], str]:
    """What `$1`, `${1}` and `${name}` stand for; `$$` is a dollar."""

    def group(named: re.Match[str]) -> str:
        name = named["name"] or named["braced"]
        if name is None:
            return "$"
        number = int(name) if name.isascii() and name.isdigit() else match.re.groupindex.get(name, -1)
        return (match.group(number) or "") if 0 <= number <= match.re.groups else ""

    return group


def _glob(pattern: str, delimiters: list[str] | None, text: str) -> bool:
    separators = () if delimiters is None else tuple(delimiters or ["."])
    return bool(_compiled_glob(pattern, separators).fullmatch(text))


@lru_cache(1024)
def _compiled_glob(pattern: str, separators: tuple[str, ...]) -> Any:
    one = f"[^{''.join(map(re2.escape, separators))}]" if separators else "(?s:.)"
    parts, at, depth = list[str](), 0, 0
    while at < len(pattern):
        found = _GLOB.match(pattern, at)
        if found is None:
            raise ValueError(f"{pattern} is no glob")
        at, kind = found.end(), found.lastgroup
        match kind:
            case "super":
                parts.append("(?s:.*)")
            case "any":
                parts.append(f"{one}*")
            case "one":
                parts.append(one)
            case "high":
                parts.append(
                    f"[{'^' * bool(found['not'])}{re2.escape(found['low'])}-{re2.escape(found['high'])}]"
                )
            case "list":
                parts.append(f"[{'^' * bool(found['not'])}{''.join(map(re2.escape, found['list']))}]")
            case "open":
                depth += 1
                parts.append("(?:")
            case "close" if depth:
                depth -= 1
                parts.append(")")
            case "or" if depth:
                parts.append("|")
            case _:
                parts.append(re2.escape(found["escaped"] or found.group()))
    if depth:
        raise ValueError(f"{pattern} is no glob")
    return re2.compile("".join(parts), _QUIET)


def _sprintf(form: str, values: list[Any]) -> str:
    left = iter(values)

    def put(verb: re.Match[str]) -> str:
        return "%" if verb["verb"] == "%" else _formatted(verb, next(left))

    try:
        said = _VERB.sub(put, form)
    except StopIteration:
        raise ValueError("there are more places than values") from None
    if next(left, None) is not None:
        raise ValueError("there are more values than places")
    return said


def _formatted(verb: re.Match[str], value: Any) -> str:
    kind, width, places = verb["verb"], int(verb["width"] or 0), verb["places"]
    text = value if isinstance(value, str) else _shown(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and isinstance(value, int)
    if (kind in "dxXo" and whole) or (kind in "ef" and number and not whole):
        return str(verb.group() % value)
    if kind == "v" or (kind == "s" and not number):
        text = text[: int(places[1:] or 0)] if places and not number else text
        return text.ljust(width) if "-" in verb["flags"] else text.rjust(width)
    if kind == "q" and not number:
        return json.dumps(text, ensure_ascii=False)
    if kind in "sdefo":  # what Go says of a value that its verb does not fit
        return f"%!{kind}({'int64' if whole else 'float64' if number else 'string'}={text})"
    raise ValueError(f"{verb.group()} is not known here")


def _shown(value: Any) -> str:
    """As Rego writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(map(_shown, sorted(value)))}}}" if value else "set()"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_shown(key)}: {_shown(each)}' for key, each in sorted(value.items()))}}}"
    if isinstance(value, float) and 1e-4 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f")
    return json.dumps(value, ensure_ascii=False)


def _reaches_nobody(_request: Any) -> Any:
    raise ValueError("nothing here may reach anybody")


EXTENSIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("glob.match", 3, _glob),
    ("http.send", 1, _reaches_nobody),
    ("regex.find_all_string_submatch_n", 3, _find_groups),
    ("regex.find_n", 3, _find),
    ("regex.is_valid", 1, _is_valid),
    ("regex.match", 2, _is_match),
    ("regex.replace", 3, _replace),
    ("regex.split", 2, _split),
    ("sprintf", 2, _sprintf),
    ("strings.count", 2, lambda text, part: text.count(part)),
)
"""Name, number of arguments, and the function."""
