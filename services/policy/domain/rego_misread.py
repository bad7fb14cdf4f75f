"""What the engine of custom rules misreads, or answers otherwise than OPA's own: it is not asked, and that is a no.

A rule that is silent allows. So a rule may call only what has been seen to answer as OPA's own engine does, patterns
may say only what it understands, and what is asked may hold only characters that the rule's functions read as they are.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from services.policy.domain.rego_order import SIGNS, order_flaws
from services.policy.domain.rego_spelling import MAYBE, OURS, SPELLED, TAKEN, called, own_names, said_by
from services.policy.domain.rego_text import IMPURE, SPEAKING, WORDS, Flaw, Token, calls_of, tokens_of

MOST_TOKENS = 60
"""Of a call, in which its pattern is looked for."""

_ODD = re.compile(r"[^ !#-\[\]-~]")
"""What a pattern that nobody has seen may take for something else."""
_LONG = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f-\U0010ffff]")
"""What has several bytes, as it is told to the engine."""
_NOT_MEANT = re.compile('[\x00-\x07\x0b\x0e-\x1f\x7f"]')
"""What a range of characters holds, and what stands for it does not."""
_ESCAPED = re.compile(r"\\[\W_]")
_COUNTS = re.compile(r"(?:\.|\[\^[^]]{0,50}\]|\\[DSW])(?![*+])|\[\^[^]]{51}|\{\d|[^\x00-\x7f]")
"""A pattern that counts characters, or may: the engine counts bytes."""
_ONE = re.compile(r"[?\[]")
"""As `_COUNTS`, of `glob.match`."""
_UNKNOWN = re.compile(r"\\(?:[^\W_BDSWbdfnrstw]|$)|\[\^?\]")
"""What a pattern may say to OPA, and says something else, or nothing, to the engine."""
_RANGES = re.compile(r"[ !]-[#-~]|\[:|\\[x0-7]")
"""A pattern that may mean a quotation mark or a control character without having one."""

_APART = SIGNS | {",", ";", ":=", "==", "!=", "="}
"""Between these stand expressions of their own."""
_BEFORE_VALUES = {":=", "=", "==", "!=", "(", "[", "{", ",", ":", "in", "|", "&", "-"}
"""Behind these a brace holds a value; elsewhere what must hold."""
_MATCHING = {"regex.match", "regex.split", "regex.find_n", "regex.replace", "glob.match"}
_ALIKE = {
    "abs", "array.concat", "array.reverse", "array.slice", "bits.and", "bits.lsh", "bits.negate", "bits.or", "bits.rsh",
    "bits.xor", "ceil", "contains", "count", "endswith", "floor", "graph.reachable", "graph.reachable_paths", "indexof",
    "indexof_n", "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string",
    "json.filter", "json.remove", "lower", "numbers.range", "numbers.range_step", "object.filter", "object.get",
    "object.keys", "object.remove", "object.subset", "product", "replace", "round", "semver.is_valid", "split",
    "startswith", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.reverse",
    "substring", "sum", "time.add_date", "time.clock", "time.date", "time.weekday", "trim", "trim_left",
    "trim_prefix", "trim_right", "trim_suffix", "type_name", "union", "units.parse", "units.parse_bytes", "upper",
    "walk",
}  # fmt: skip
"""Functions to which a character is a character."""
_PLAIN = {
    "base64.decode", "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode",
    "base64url.encode_no_pad", "crypto.hmac.equal", "crypto.md5", "crypto.sha1", "crypto.sha256", "hex.decode",
    "hex.encode", "json.is_valid", "json.marshal", "json.patch", "json.unmarshal", "regex.find_all_string_submatch_n",
    "regex.globs_match", "regex.is_valid", "regex.template_match", "time.parse_duration_ns",
    "time.parse_ns", "uuid.parse",
}  # fmt: skip
"""Functions that answer as OPA's own where none of the characters that are spelled otherwise is in it. What is in no
list does not, or nobody has seen it do so: tests/unit/policy/test_rego_functions.py has what each answers."""


def unreadable(modules: Sequence[str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Functions that these modules call, each with the characters in what they are asked that it would misread."""
    return tuple(dict.fromkeys(each for text in modules for each in _unreadable(list(tokens_of(text)))))


def why_unreadable(value: Any, functions: Sequence[tuple[str, re.Pattern[str]]]) -> str:
    """Why nothing can be said about this input; empty when something can."""
    shown = repr(value)
    if not MAYBE.search(shown) and not any(misread.search(shown) for _, misread in functions):
        return ""
    for text in _texts(value):
        if found := TAKEN.search(text):
            return f"no rule can be told the character U+{ord(found.group()):04X}"
        for name, misread in functions:
            if found := misread.search(text):
                return f"{name} cannot be asked about a text with the character U+{ord(found.group()):04X}"
    return ""


def misread_flaws(texts: Sequence[str]) -> Iterator[tuple[int, Flaw]]:
    """What in these modules, which may hand each other texts, the engine cannot be told or does not answer as OPA does.

    Each with the place of its module.
    """
    modules = [list(tokens_of(text)) for text in texts]
    strict = next((name for each in modules for name, misread in _unreadable(each) if misread is SPELLED), "")
    matching = [_patterns(tokens) for tokens in modules]
    anywhere = any(elsewhere - {"glob.match"} for _, elsewhere in matching)
    for place, tokens in enumerate(modules):
        texts_of = {n for n, token in enumerate(tokens) if token.kind == "string"}
        aside = texts_of - _messages(tokens)
        patterns = {n for n, name in matching[place][0].items() if name != "glob.match"}
        if anywhere:
            patterns |= aside
        for flaw in (*_odd_texts(tokens, strict, aside, patterns), *_odd_calls(tokens)):
            yield place, flaw


def _odd_texts(tokens: Sequence[Token], strict: str, aside: set[int], patterns: set[int]) -> Iterator[Flaw]:
    for n, token in enumerate(tokens):
        said = said_by(token) if token.kind == "string" else None
        if said is None:
            continue
        if TAKEN.search(said) or re.search("[\ud800-\udfff]", said):
            why = "it has a character that no rule can be told: half a one, or one of U+F0000 to U+F007F"
        elif n in patterns and (unknown := _UNKNOWN.search(_ESCAPED.sub("x", said))):
            why = f"{unknown.group()} in a pattern is not understood here as OPA does: say it otherwise"
        elif strict and n in aside and (found := SPELLED.search(said)):
            why = (
                f"{strict} would misread the character U+{ord(found.group()):04X} of this text: leave it out, "
                "or put one of the two into a rule of its own"
            )
        else:
            continue
        yield Flaw(token.line, token.column, why)


def _odd_calls(tokens: list[Token]) -> Iterator[Flaw]:
    own = own_names(tokens)
    known = OURS | _ALIKE | _PLAIN | IMPURE
    for name, line, column in calls_of(tokens):
        if name not in known and name.split(".")[0] not in own:
            yield Flaw(
                line, column, f"{name} does not answer here as OPA does, or is no function: do without it"
            )
    for n, token in enumerate(tokens):
        if token.text == "(" and n and tokens[n - 1].text == "]" and not token.first:
            yield Flaw(token.line, token.column, "a function is called by its name, as regex.match(…) is")
        if token.text == "%":
            yield Flaw(
                token.line, token.column, "% is wrong here for some numbers: write a - floor(a / b) * b"
            )
    yield from _beside_sets(tokens)
    yield from order_flaws(tokens, own)


def _beside_sets(tokens: Sequence[Token]) -> Iterator[Flaw]:
    """Where `-` and another sign between sets stand in one expression."""
    found: dict[int, dict[str, Token]] = {}
    for n, token in enumerate(tokens):
        here = found.setdefault(token.depth, {})
        if token.text == "|" and _is_comprehension(tokens, n):
            here.clear()
        elif token.text in {"-", "|", "&"}:
            here[token.text] = token
            if len(here) > 1 and "-" in here:
                minus = here["-"]
                yield Flaw(minus.line, minus.column, "- beside | or & is read otherwise here: put brackets")
                here.clear()
        elif token.text in _APART or (token.kind == "name" and token.text in WORDS):
            here.clear()
        elif token.text in {"(", "[", "{"}:
            found.pop(token.depth + 1, None)


def _is_comprehension(tokens: Sequence[Token], n: int) -> bool:
    """Whether the sign that stands here says where the members of a value come from."""
    for at in range(n - 1, max(0, n - MOST_TOKENS), -1):
        each = tokens[at]
        if each.depth == tokens[n].depth and each.text in {"|", ";"}:
            return False
        if each.depth < tokens[n].depth:
            return each.text == "[" or (each.text == "{" and tokens[at - 1].text in _BEFORE_VALUES)
    return False


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


def _unreadable(tokens: list[Token]) -> Iterator[tuple[str, re.Pattern[str]]]:
    own = own_names(tokens)
    for name in dict.fromkeys(name for name, _, _ in calls_of(tokens)):
        if name.split(".")[0] in own:
            continue
        if name in {"lower", "upper"}:
            yield name, _cased(name)
        elif name in {"max", "min"} or name not in _ALIKE | OURS:
            yield name, SPELLED
    yield from ((each, SPELLED) for each in _compared(tokens)[:1])
    alone, elsewhere = _patterns(tokens)
    yield from ((name, _ODD) for name in sorted(elsewhere))
    for n, name in alone.items():
        pattern = said_by(tokens[n]) or ""
        if (_ONE if name == "glob.match" else _COUNTS).search(_ESCAPED.sub("x", pattern)):
            yield name, _LONG
        if _RANGES.search(pattern):
            yield name, _NOT_MEANT


def _patterns(tokens: Sequence[Token]) -> tuple[dict[int, str], set[str]]:
    """Where patterns stand in their calls, and the functions whose pattern is put together or stands elsewhere."""
    found, elsewhere = dict[int, str](), set[str]()
    own = own_names(tokens)
    for n in range(len(tokens)):
        name = called(tokens, n)
        if name not in _MATCHING or name.split(".")[0] in own:
            continue
        at = _argument(tokens, n + 3, 1 if name == "regex.replace" else 0)
        if at and tokens[at].kind == "string" and tokens[at + 1].text in {",", ")"}:
            found[at] = name
        else:
            elsewhere.add(name)
    return found, elsewhere


def _argument(tokens: Sequence[Token], opened: int, which: int) -> int:
    """Where that argument begins, of a call whose bracket stands there; 0 when it is not soon to be seen."""
    commas = [
        n
        for n in range(opened + 1, min(len(tokens), opened + MOST_TOKENS))
        if tokens[n].text == "," and tokens[n].depth == tokens[opened].depth + 1
    ]
    found = opened + 1 if which == 0 else (commas[which - 1] + 1 if len(commas) >= which else 0)
    return found if found + 1 < len(tokens) else 0


def _compared(tokens: Sequence[Token]) -> list[str]:
    """The signs by which other things than numbers may be compared."""
    return [
        token.text
        for n, token in enumerate(tokens)
        if token.text in SIGNS
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
