"""What can be said of a Rego module by its text alone: what it defines, what of `input` it looks at, what it calls.

The engine that evaluates rules lets some mistakes pass until it comes to them, and a rule that never fires allows: such
mistakes are found here, so that a set with one never goes live. Nothing is evaluated.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A string that is never closed is one, too: to find that out anew at each of its quotes would take minutes.
_TOKEN = re.compile(
    r"(?P<string>\$?`[^`]*`|\$?\"(?:\\.|[^\"\\\n])*+\"?)|(?P<comment>#[^\n]*)|(?P<name>[A-Za-z_]\w*)|(?P<line>\n)"
    r"|(?P<space>[ \t\r]+)|(?P<sign>:=|==|!=|<=|>=|.)",
    re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"
_COMPARED = frozenset({"==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%"})
WORDS = frozenset(
    {
        "if", "else", "in", "contains", "not", "with", "as", "some", "every", "default", "package", "import",
        "true", "false", "null", "input", "data", "_",
    }
)  # fmt: skip
_VALUES = frozenset({"true", "false", "null", "input", "data", "_"})
_NEVER_FIRST = frozenset({"package", "import", "with", "as", "in", "if", "contains"})
IMPURE = frozenset(
    {"time.now_ns", "rand.intn", "uuid.rfc4122", "opa.runtime", "http.send", "net.lookup_ip_addr", "trace", "print"}
)  # fmt: skip
SPEAKING = ("deny", "approve")
FUNCTIONS = frozenset(
    {
        "abs", "array.concat", "array.reverse", "array.slice", "base64.decode", "base64.encode", "base64.is_valid",
        "base64url.decode", "base64url.encode", "base64url.encode_no_pad", "bits.and", "bits.lsh", "bits.negate",
        "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith", "floor", "format_int",
        "glob.match", "graph.reachable", "graph.reachable_paths", "hex.decode", "hex.encode", "indexof", "indexof_n",
        "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string",
        "json.filter", "json.is_valid", "json.marshal", "json.remove", "json.unmarshal", "lower", "max",
        "min", "net.cidr_contains", "net.cidr_is_valid", "numbers.range", "numbers.range_step", "object.filter",
        "object.get", "object.keys", "object.remove", "object.subset", "object.union", "object.union_n", "product",
        "regex.find_all_string_submatch_n", "regex.find_n", "regex.is_valid", "regex.match", "regex.replace",
        "regex.split", "replace", "round", "semver.compare", "semver.is_valid", "sort", "split", "sprintf",
        "startswith", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.reverse",
        "substring", "sum", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns",
        "time.parse_ns", "time.parse_rfc3339_ns", "time.weekday", "to_number", "trim", "trim_left", "trim_prefix",
        "trim_right", "trim_space", "trim_suffix", "type_name", "union", "units.parse", "units.parse_bytes", "upper",
        "urlquery.decode", "urlquery.encode", "uuid.parse", "walk",
    }
)  # fmt: skip
"""What a rule may call: what answers here as OPA's own engine does, which tests/system/test_opa.py asks of each."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong in a module; lines and columns from 1."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class ModuleText:
    """`speaks` are those of `deny` and `approve` that it defines, `looks_at` what of `input`; () is all of it."""

    package: str
    speaks: tuple[str, ...]
    tests: tuple[str, ...]
    looks_at: frozenset[Path]
    reads_data: bool
    calls: tuple[tuple[str, int, int], ...]
    defines: frozenset[str]
    flaws: tuple[Flaw, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A word, text or sign of a module."""

    kind: str
    text: str
    line: int
    column: int
    depth: int
    """How many brackets are open around it."""
    first: bool
    """Whether it begins a line."""


def read_module(text: str, *, test: bool = False) -> ModuleText:
    """All that can be said of `text`."""
    tokens = list(tokens_of(text))
    heads = [(n, token) for n, token in enumerate(tokens) if is_head(tokens, n)]
    flaws = list(_flaws(tokens, heads, test=test))
    named = [
        tokens[n + 1].text if token.text == "default" else token.text
        for n, token in heads
        if n + 1 < len(tokens)
    ]
    return ModuleText(
        _package(tokens),
        tuple(name for name in SPEAKING if name in named),
        tuple(dict.fromkeys(name for name in named if name.startswith("test_"))),
        frozenset(_looks_at(tokens)),
        any(begins(tokens, n, "data") for n in range(len(tokens))),
        tuple(calls_of(tokens)),
        frozenset(named),
        tuple(flaws),
    )


def tokens_of(text: str) -> Iterator[Token]:
    """Everything but spaces and comments."""
    line, start, depth, first = 1, 0, 0, True
    for match in _TOKEN.finditer(text):
        kind, said = match.lastgroup or "", match.group()
        if kind == "line":
            line, start, first = line + 1, match.end(), True
            continue
        if kind in {"space", "comment"}:
            continue
        if said in _CLOSE:
            depth -= 1
        yield Token(kind, said, line, match.start() - start + 1, depth, first)
        if said in _OPEN:
            depth += 1
        if "\n" in said:
            line, start = line + said.count("\n"), match.start() + said.rindex("\n") + 1
        first = False


def is_head(tokens: Sequence[Token], n: int) -> bool:
    """Whether a rule begins here, rather than that what stands in the line before goes on."""
    token = tokens[n]
    begun = token.depth == 0 and token.first and token.kind == "name" and token.text not in _NEVER_FIRST
    return begun and not (n and _goes_on(tokens, n - 1))


def _goes_on(tokens: Sequence[Token], n: int) -> bool:
    """Whether what this is part of goes on behind it, be that in the next line."""
    token = tokens[n]
    if token.kind == "name":
        return token.text in WORDS - _VALUES and not (n and tokens[n - 1].text == ".")
    return token.kind == "sign" and token.text not in {")", "]", "}", ";"} and not token.text.isdigit()


def _package(tokens: list[Token]) -> str:
    if not tokens or tokens[0].text != "package":
        return ""
    return "".join(token.text for token in tokens[1:] if token.line == tokens[0].line)


def begins(tokens: Sequence[Token], n: int, name: str) -> bool:
    """Whether a reference to `name` itself begins here, rather than to a field of this name."""
    return tokens[n].text == name and tokens[n].kind == "name" and (n == 0 or tokens[n - 1].text != ".")


def _looks_at(tokens: list[Token]) -> Iterator[Path]:
    for n in range(len(tokens)):
        if begins(tokens, n, "input"):
            yield chain(tokens, n + 1)[0]


def chain(tokens: Sequence[Token], n: int) -> tuple[Path, int]:
    """The fields that are named from `n` on, and where that ends."""
    path: list[str] = []
    while n + 1 < len(tokens):
        if tokens[n].text == "." and tokens[n + 1].kind == "name":
            path.append(tokens[n + 1].text)
            n += 2
        elif (
            tokens[n].text == "["
            and tokens[n + 1].kind == "string"
            and tokens[n + 1].text.startswith('"')
            and "\\" not in tokens[n + 1].text
            and n + 2 < len(tokens)
            and tokens[n + 2].text == "]"
        ):
            path.append(tokens[n + 1].text[1:-1])
            n += 3
        else:
            break
    return tuple(path), n


def calls_of(tokens: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
    """Each function that is called, and where."""
    for n, (token, behind) in enumerate(pairwise(tokens)):
        if behind.text != "(" or token.kind != "name" or token.text in WORDS:
            continue
        if token.text == "set" and [each.text for each in tokens[n + 2 : n + 3]] == [")"]:
            continue  # the empty set
        parts, at = [token.text], n
        while at >= 2 and tokens[at - 1].text == "." and tokens[at - 2].kind == "name":
            at -= 2
            parts.insert(0, tokens[at].text)
        if not is_head(tokens, at):
            yield ".".join(parts), tokens[at].line, tokens[at].column


def _flaws(tokens: list[Token], heads: list[tuple[int, Token]], *, test: bool) -> Iterator[Flaw]:
    for token in tokens:
        if token.kind == "string" and token.text.startswith("$"):
            yield Flaw(token.line, token.column, "text with values in it is newer than Rego v1: use sprintf")
    for n, token in heads:
        if token.text in SPEAKING and (n + 1 >= len(tokens) or tokens[n + 1].text != "contains"):
            text = f"must be written as `{token.text} contains msg if {{ … }}`"
            yield Flaw(token.line, token.column, text)
        if token.text == "default" and n + 1 < len(tokens) and tokens[n + 1].text in SPEAKING:
            text = f"{tokens[n + 1].text} has no default: it is empty where nothing is said"
            yield Flaw(token.line, token.column, text)
    if test:
        return
    own = {"data", *_imported(tokens), *(token.text for _, token in heads)}
    for name, line, column in calls_of(tokens):
        if name in IMPURE:
            text = f"{name} does not answer the same each time: a decision must come out alike when it is made again"
            yield Flaw(line, column, text)
        elif name not in FUNCTIONS and name.split(".")[0] not in own:
            yield Flaw(line, column, f"there is no function {name} here")
    yield from _unknown(tokens)


def _imported(tokens: Sequence[Token]) -> set[str]:
    lines = {token.line for token in tokens if token.first and token.text == "import"}
    return {token.text for token in tokens if token.line in lines}


def _unknown(tokens: list[Token]) -> Iterator[Flaw]:
    """Names that are compared or taken over and stand nowhere else: nothing ever gives them a value."""
    places: dict[str, list[int]] = {}
    known = _imported(tokens)
    for n, token in enumerate(tokens):
        if token.kind != "name" or token.text in WORDS or (n and tokens[n - 1].text == "."):
            continue
        places.setdefault(token.text, []).append(n)
    for name, at in places.items():
        if len(at) > 1 or name in known:
            continue
        n = at[0]
        before = tokens[n - 1].text if n else ""
        behind = tokens[n + 1].text if n + 1 < len(tokens) else ""
        if behind in {"(", "."}:
            continue
        if before in _COMPARED or before == ":=" or behind in _COMPARED:
            token = tokens[n]
            yield Flaw(token.line, token.column, f"{name} never gets a value: is it misspelt?")
