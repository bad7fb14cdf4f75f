"""How texts are spelled for the engine of custom rules, which keeps some characters otherwise than Rego says.

It leaves the texts of a module escaped (`"\\n"` is two characters), takes those of the input as they are, cuts them at
U+0000, and puts them into its answers without quoting, so that a target could say what a rule has answered. So it is
shown none of these characters: in modules and input alike another stands for each, and is read back from what is said.
To most functions a character is a character. Some that know what one means, or answer otherwise than OPA's own engine,
are asked by functions of ours; what cannot be asked at all: `rego_misread`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.policy.domain.rego_text import Token, begins, is_head, tokens_of

_STAND_IN = {**{code: chr(0xF0000 + code) for code in (*range(0x20), 0x5C, 0x7F)}, 0x22: "\x7f"}
_STOOD_FOR = {ord(stand_in): chr(code) for code, stand_in in _STAND_IN.items()}
TAKEN = re.compile("[\U000f0000-\U000f007f]")
SPELLED = re.compile('[\x00-\x1f"\\\\\x7f]')
MAYBE = re.compile(r'["\\]')
"""Of how Python shows a value with any of these characters, which costs less than to look at each of its texts."""
_CALL = "data.provost.spelling.of_"
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
as_spelled(x) := strings.replace_n(stand_ins, x)
of_regex_match(pattern, x) := regex.match(escaped(pattern), real(x))
of_regex_split(pattern, x) := [as_spelled(y) | some y in regex.split(escaped(pattern), real(x))]
of_regex_find_n(pattern, x, n) := [as_spelled(y) | some y in regex.find_n(escaped(pattern), real(x), n)]
of_regex_replace(x, pattern, y) := as_spelled(regex.replace(real(x), escaped(pattern), y))
of_glob_match(pattern, delimiters, x) := glob.match(glob_pattern(pattern), delimiters, meant(x))
of_trim_space(x) := trim(x, "{"".join(_STAND_IN.get(ord(each), each) for each in _SPACES)}")
of_sprintf(format, xs) := sprintf(format, [bare(x) | some x in xs])
bare(x) := trim(x, "") if is_string(x)
bare(x) := x if {{ not is_string(x); not unordered(x) }}
bare(x) := refused(x) if unordered(x)
of_concat(delimiter, xs) := concat(delimiter, xs) if not unordered(xs)
of_concat(_, xs) := refused(xs) if unordered(xs)
unordered(xs) if {{ is_set(xs); count(xs) > 1 }}
of_max(xs) := x if {{ alike(xs); some x in xs; count([y | some y in xs; y > x]) == 0 }}
of_max(xs) := refused(xs) if not alike(xs)
of_min(xs) := x if {{ alike(xs); some x in xs; count([y | some y in xs; y < x]) == 0 }}
of_min(xs) := refused(xs) if not alike(xs)
of_to_number(x) := to_number(x) if not is_string(x)
of_to_number(x) := to_number(x) if plain_number(x)
of_to_number(x) := refused(x) if {{ is_string(x); not plain_number(x) }}
plain_number(x) if {{ is_string(x); count(x) < 16; regex.match("^-?(0|[1-9][0-9]*)([.][0-9]+)?$", x) }}
alike(xs) if count([x | some x in xs; not is_number(x)]) == 0
alike(xs) if count([x | some x in xs; not is_string(x)]) == 0
refused(xs) := object.get([xs], "", "")
"""

OURS = {
    "concat", "glob.match", "max", "min", "regex.find_n", "regex.match", "regex.replace", "regex.split", "sprintf",
    "to_number", "trim_space",
}  # fmt: skip
"""Functions that are asked by that module; `refused` fails, which is a no."""


def spelled(value: Any) -> Any:
    """`value` as the engine is told it."""
    return _spelled(value) if MAYBE.search(repr(value)) else value


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
    ours = OURS - {name for name in OURS if name.split(".")[0] in own_names(tokens)}
    for n, token in enumerate(tokens):
        at = starts[token.line - 1] + token.column - 1
        if token.kind == "string" and (said := said_by(token)) is not None:
            put, length = f'"{spelled(said)}"', len(token.text)
        elif [each.text for each in tokens[n : n + 3]] == ["set", "(", ")"] and begins(tokens, n, "set"):
            put, length = "({1} - {1}", len("set(")
        elif (name := called(tokens, n)) in ours:
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


def called(tokens: Sequence[Token], n: int) -> str:
    """The built-in function that is called here, as `trim_space` or `regex.match`; empty when none is."""
    if is_head(tokens, n) or (n > 0 and tokens[n - 1].text == "."):
        return ""
    texts = [token.text for token in tokens[n : n + 4]]
    if texts[1:2] == ["("]:
        return texts[0]
    together = texts[1:2] == ["."] and tokens[n + 2].column - tokens[n].column == len(texts[0]) + 1
    return "".join(texts[:3]) if together and texts[3:] == ["("] else ""


def own_names(tokens: Sequence[Token]) -> set[str]:
    """Names that no built-in function has here: those of the module's rules, and what it imports."""
    lines = {token.line for token in tokens if token.first and token.text == "import"}
    return {
        "data",
        *(token.text for n, token in enumerate(tokens) if token.line in lines or is_head(tokens, n)),
    }
