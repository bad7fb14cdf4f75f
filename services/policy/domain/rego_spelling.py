"""How texts are spelled for the engine of custom rules, which keeps some characters otherwise than Rego says.

It leaves the texts of a module escaped (`"\\n"` is two characters), takes those of the input as they are, cuts them at
U+0000, and puts them into its answers without quoting, so that a target could say what a rule has answered. So it is
shown none of these characters: in modules and input alike another stands for each, and is read back from what is said.
To most functions a character is a character. Those that know what one means are given the text itself, and where that
cannot be done they are not asked at all.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from services.policy.domain.rego_text import SPEAKING, Flaw, Token, calls_of, is_head, tokens_of

_STAND_IN = {**{code: chr(0xF0000 + code) for code in (*range(0x20), 0x5C, 0x7F)}, 0x22: "\x7f"}
_STOOD_FOR = {ord(stand_in): chr(code) for code, stand_in in _STAND_IN.items()}
_TAKEN = re.compile("[\U000f0000-\U000f007f]")
_SPELLED = re.compile('[\x00-\x1f"\\\\\x7f]')
_MAYBE = re.compile(r'["\\]')
"""Of how Python shows a value with any of these characters, which costs less than to look at each of its texts."""
_LONG = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f-\U0010ffff]")
_NOT_MEANT = re.compile('[\x00-\x07\x0b\x0e-\x1f\x7f"]')

_ESCAPED = re.compile(r"\\[\W_]")
_COUNTS = re.compile(r"(?:\.|\[\^[^]]{0,50}\]|\\[DSW])(?![*+])|\[\^[^]]{51}|\{\d|[^\x00-\x7f]")
"""A pattern that counts characters, or may: the engine counts bytes."""
_ONE = re.compile(r"[?\[]")
"""As `_COUNTS`, of `glob.match`."""
_UNKNOWN = re.compile(r"\\(?:[^\W_BDSWbdfnrstw]|$)|\[\^?\]")
"""What a pattern may say to OPA, and says something else, or nothing, to the engine."""
_RANGES = re.compile(r"[ !]-[#-~]|\[:|\\[x0-7]")
"""A pattern that may mean a quotation mark or a control character without having one."""

_CALL = "data.provost.spelling."
_SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
_MEANT = "\b\t\n\f\r"
_ESCAPES = ", ".join(f'"{_STAND_IN[ord(each)]}": {json.dumps(each)}' for each in _MEANT)
_STAND_INS = ", ".join(f'trim({json.dumps(each)}, ""): "{_STAND_IN[ord(each)]}"' for each in _MEANT)
_BUILT_IN = f"""package provost.spelling

backslash := trim("\\\\", "")
escapes := {{{_ESCAPES}}}
stand_ins := {{{_STAND_INS}, backslash: "{_STAND_IN[0x5C]}"}}
escaped(x) := replace(strings.replace_n(escapes, x), "{_STAND_IN[0x5C]}", "\\\\")
meant(x) := trim(strings.replace_n(escapes, x), "")
real(x) := replace(meant(x), "{_STAND_IN[0x5C]}", backslash)
pair := "{_STAND_IN[0x5C] * 2}"
glob_pattern(x) := replace(escaped(replace(x, pair, "{_STAND_IN[1]}")), "{_STAND_IN[1]}", "{_STAND_IN[0x5C]}")
regex_match(pattern, x) := regex.match(escaped(pattern), real(x))
regex_split(pattern, x) := [strings.replace_n(stand_ins, y) | some y in regex.split(escaped(pattern), real(x))]
regex_find_n(pattern, x, n) := [strings.replace_n(stand_ins, y) | some y in regex.find_n(escaped(pattern), real(x), n)]
regex_replace(x, pattern, y) := strings.replace_n(stand_ins, regex.replace(real(x), escaped(pattern), y))
glob_match(pattern, delimiters, x) := glob.match(glob_pattern(pattern), delimiters, meant(x))
trim_space(x) := trim(x, "{"".join(_STAND_IN.get(ord(each), each) for each in _SPACES)}")
"""

_OURS = {"regex.match", "regex.split", "regex.find_n", "regex.replace", "glob.match", "trim_space"}
"""Functions that are asked by that module."""
_COMPARED = {"<", "<=", ">", ">="}
"""What goes by the order of characters, where it is not numbers that are compared."""
_ALIKE = {
    "abs", "all", "any", "array.concat", "array.reverse", "array.slice", "bits.and", "bits.lsh", "bits.negate",
    "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith", "floor", "format_int",
    "graph.reachable", "graph.reachable_paths", "indexof", "indexof_n", "intersection", "is_array", "is_boolean",
    "is_null", "is_number", "is_object", "is_set", "is_string", "json.filter", "json.remove", "lower",
    "net.cidr_contains", "net.cidr_intersects", "numbers.range", "numbers.range_step", "object.filter", "object.get",
    "object.keys", "object.remove", "object.subset", "object.union", "object.union_n", "product", "replace", "round",
    "semver.compare", "semver.is_valid", "split", "sprintf", "startswith", "strings.any_prefix_match",
    "strings.any_suffix_match", "strings.count", "strings.replace_n", "strings.reverse", "substring", "sum",
    "time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.weekday", "to_number", "trim",
    "trim_left", "trim_prefix", "trim_right", "trim_suffix", "type_name", "union", "units.parse",
    "units.parse_bytes", "upper", "walk",
}  # fmt: skip
"""Functions to which a character is a character."""


def spelled(value: Any) -> Any:
    """`value` as the engine is told it."""
    return _spelled(value) if _MAYBE.search(repr(value)) else value


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_STAND_IN)
    if isinstance(value, Mapping):
        return {_spelled(key): _spelled(each) for key, each in value.items()}
    return [_spelled(each) for each in value] if isinstance(value, list | tuple) else value


def read_back(value: Any) -> Any:
    """What the engine says, as it is meant."""
    if isinstance(value, str):
        return value.translate(_STOOD_FOR)
    if isinstance(value, Mapping):
        return {read_back(key): read_back(each) for key, each in value.items()}
    return [read_back(each) for each in value] if isinstance(value, list) else value


def spelled_modules(texts: Mapping[str, str]) -> dict[str, str]:
    """Modules as the engine is given them, and what they call. A text that is none is left to the engine to find."""
    found = {name: _spelled_module(text) for name, text in texts.items()}
    return found | {"spelling.rego": _BUILT_IN} if any(_CALL in text for text in found.values()) else found


def _spelled_module(text: str) -> str:
    starts, parts, end = [0], list[str](), 0
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    tokens = list(tokens_of(text))
    ours = _OURS - {name for name in _OURS if name.split(".")[0] in _own(tokens)}
    for n, token in enumerate(tokens):
        at = starts[token.line - 1] + token.column - 1
        if token.kind == "string" and (said := said_by(token)) is not None:
            put, length = f'"{spelled(said)}"', len(token.text)
        elif (name := _called(tokens, n)) in ours:
            put, length = _CALL + name.replace(".", "_"), len(name)
        else:
            continue
        parts += [text[end:at], put]
        end = at + length
    return "".join((*parts, text[end:]))


def said_by(token: Token) -> str | None:
    """What a text says; None when it is none."""
    if token.text.startswith("`"):
        return token.text[1:-1]
    try:
        said = json.loads(token.text)
    except ValueError:
        return None
    return said if isinstance(said, str) else None


def unreadable(modules: Sequence[str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Functions that these modules call, each with the characters in what they are asked that it would misread."""
    return tuple(dict.fromkeys(each for text in modules for each in _unreadable(list(tokens_of(text)))))


def why_unreadable(value: Any, functions: Sequence[tuple[str, re.Pattern[str]]]) -> str:
    """Why nothing can be said about this input; empty when something can."""
    shown = repr(value)
    if not _MAYBE.search(shown) and not any(misread.search(shown) for _, misread in functions):
        return ""
    for text in _texts(value):
        if found := _TAKEN.search(text):
            return f"no rule can be told the character U+{ord(found.group()):04X}"
        for name, misread in functions:
            if found := misread.search(text):
                return f"{name} cannot be asked about a text with the character U+{ord(found.group()):04X}"
    return ""


def spelling_flaws(text: str) -> Iterator[Flaw]:
    """Texts of a module that cannot be told to the engine as they are meant, and calls that are not seen."""
    tokens = list(tokens_of(text))
    strict = [name for name, misread in _unreadable(tokens) if misread is _SPELLED]
    messages = _messages(tokens) if strict else ()
    matching = _patterns(tokens, _own(tokens))
    patterns = {n for name, places in matching.items() if name != "glob.match" for n in places}
    for n, token in enumerate(tokens):
        if token.text == "(" and n and tokens[n - 1].text == "]" and not token.first:
            yield Flaw(token.line, token.column, "a function is called by its name, as regex.match(…) is")
        said = said_by(token) if token.kind == "string" else None
        if said is None:
            continue
        if _TAKEN.search(said) or re.search("[\ud800-\udfff]", said):
            why = "it has a character that no rule can be told: half a one, or one of U+F0000 to U+F007F"
            yield Flaw(token.line, token.column, why)
        elif n in patterns and (unknown := _UNKNOWN.search(_ESCAPED.sub("x", said))):
            why = f"{unknown.group()} in a pattern is not understood here as OPA does: say it otherwise"
            yield Flaw(token.line, token.column, why)
        elif strict and n not in messages and (found := _SPELLED.search(said)):
            why = (
                f"{strict[0]} would misread the character U+{ord(found.group()):04X} of this text: leave it out, "
                "or put one of the two into a rule of its own"
            )
            yield Flaw(token.line, token.column, why)


def _messages(tokens: Sequence[Token]) -> set[int]:
    """Where texts stand that are said and nothing else: no function is asked about them."""
    texts = [token.text for token in tokens]
    saying = {n for n in range(1, len(texts)) if texts[n] == "contains" and texts[n - 1] in SPEAKING}
    names = {texts[n + 1] for n in saying if tokens[n + 1 : n + 2]}
    for n, name in enumerate(texts):
        if name in names and n - 1 not in saying and texts[n + 1 : n + 2] != [":="]:
            names.discard(name)
    found = set[int]()
    for n, token in enumerate(tokens):
        start = n - 2 if texts[max(0, n - 2) : n] == ["sprintf", "("] else n
        told = start - 1 in saying or (texts[start - 1] == ":=" and texts[start - 2] in names)
        if token.kind == "string" and start > 1 and told:
            found.add(n)
    return found


def _called(tokens: Sequence[Token], n: int) -> str:
    """The built-in function that is called here, as `trim_space` or `regex.match`; empty when none is."""
    if is_head(tokens, n) or (n > 0 and tokens[n - 1].text == "."):
        return ""
    texts = [token.text for token in tokens[n : n + 4]]
    if texts[1:2] == ["("]:
        return texts[0]
    together = texts[1:2] == ["."] and tokens[n + 2].column - tokens[n].column == len(texts[0]) + 1
    return "".join(texts[:3]) if together and texts[3:] == ["("] else ""


def _own(tokens: Sequence[Token]) -> set[str]:
    """Names that no built-in function has here: those of the module's rules, and what it imports."""
    lines = {token.line for token in tokens if token.first and token.text == "import"}
    return {
        "data",
        *(token.text for n, token in enumerate(tokens) if token.line in lines or is_head(tokens, n)),
    }


def _unreadable(tokens: list[Token]) -> Iterator[tuple[str, re.Pattern[str]]]:
    own = _own(tokens)
    for name in dict.fromkeys(name for name, _, _ in calls_of(tokens)):
        if name.split(".")[0] in own:
            continue
        if name in {"lower", "upper"}:
            yield name, _cased(name)
        elif name not in _ALIKE | _OURS:
            yield name, _SPELLED
    yield from ((each, _SPELLED) for each in _compared(tokens)[:1])
    for name, places in _patterns(tokens, own).items():
        patterns = [said for n in places if (said := said_by(tokens[n])) is not None]
        counts = _ONE if name == "glob.match" else _COUNTS
        if any(counts.search(_ESCAPED.sub("x", each)) for each in patterns):
            yield name, _LONG
        if any(_RANGES.search(each) for each in patterns):
            yield name, _NOT_MEANT


def _patterns(tokens: Sequence[Token], own: set[str]) -> dict[str, set[int]]:
    """By function: the texts that may be its pattern. That is the one that stands there; where it is put together or
    stands elsewhere, all of the module that are not said and nothing else."""
    found: dict[str, set[int]] = {}
    elsewhere = set[str]()
    for n in range(len(tokens)):
        name = _called(tokens, n)
        if name not in _OURS - {"trim_space"} or name.split(".")[0] in own:
            continue
        here = [(token.kind, token.text) for token in tokens[n + 4 : n + 6]]
        if name != "regex.replace" and len(here) == 2 and here[0][0] == "string" and here[1][1] == ",":
            found.setdefault(name, set()).add(n + 4)
        else:
            elsewhere.add(name)
    if elsewhere:
        texts = {n for n, token in enumerate(tokens) if token.kind == "string"} - _messages(tokens)
        found |= {name: found.get(name, set()) | texts for name in elsewhere}
    return found


def _compared(tokens: Sequence[Token]) -> list[str]:
    """The signs by which other things than numbers may be compared."""
    return [
        token.text
        for n, token in enumerate(tokens)
        if token.text in _COMPARED
        and not any(
            each.text.isdigit() or each.text == "count" for each in (tokens[n - 1], *tokens[n + 1 : n + 2])
        )
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


@cache
def _cased(name: str) -> re.Pattern[str]:
    """Characters beyond ASCII that this function changes: the engine changes ASCII alone."""
    change = str.lower if name == "lower" else str.upper
    found = (chr(code) for code in range(0x80, 0x20000) if not 0xD800 <= code < 0xE000)
    return re.compile("[" + "".join(each for each in found if change(each) != each) + "]")
