"""What can be said of a Rego module by its text alone: what it defines, and what of `input` it looks at.

A rule that never fires allows. What OPA takes and Provost would not hear, or not see, is found here, so that a set with
such a mistake never goes live. Nothing is evaluated.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A string that is never closed is one, too: to find that out anew at each of its quotes would take minutes.
_TOKEN = re.compile(
    r"(?P<string>\$?`[^`]*`|\$?\"(?:\\.|[^\"\\\n])*+\"?)|(?P<comment>#[^\n]*)|(?P<name>[A-Za-z_]\w*)|(?P<line>\n)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<space>[ \t\r]+)|(?P<sign>:=|==|!=|<=|>=|.)",
    re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"
WORDS = frozenset(
    {
        "if", "else", "in", "contains", "not", "with", "as", "some", "every", "default", "package", "import",
        "true", "false", "null", "input", "data", "_",
    }
)  # fmt: skip
_VALUES = frozenset({"true", "false", "null", "input", "data", "_"})
_NEVER_FIRST = frozenset({"package", "import", "with", "as", "in", "if", "contains"})
IMPURE = frozenset(
    {
        "crypto.x509.parse_and_verify_certificates", "crypto.x509.parse_and_verify_certificates_with_options",
        "http.send", "io.jwt.decode_verify", "net.lookup_ip_addr", "opa.runtime", "providers.aws.sign_req", "rand.intn",
        "time.now_ns", "uuid.rfc4122",
    }
)  # fmt: skip
SPEAKING = ("deny", "approve")

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
    return token.kind == "sign" and token.text not in {")", "]", "}", ";"}


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
            and not tokens[n].first  # there something else begins
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


def _flaws(tokens: list[Token], heads: list[tuple[int, Token]], *, test: bool) -> Iterator[Flaw]:
    for token in tokens:
        if token.text == "\0":
            yield Flaw(token.line, token.column, "the character U+0000 can stand in no rule: write \\u0000")
        if token.kind == "string" and token.text.startswith("$"):
            yield Flaw(token.line, token.column, "text with values in it is newer than Rego v1: use sprintf")
    for n, token in heads:
        if token.text in SPEAKING and (n + 1 >= len(tokens) or tokens[n + 1].text != "contains"):
            text = f"must be written as `{token.text} contains msg if {{ … }}`"
            yield Flaw(token.line, token.column, text)
        if token.text.startswith("test_") and not _is_test(tokens[n + 1 : n + 3]):
            text = f"a test is written as `{token.text} if {{ … }}`; what is none has another name"
            yield Flaw(token.line, token.column, text)
        if token.text == "default" and n + 1 < len(tokens) and tokens[n + 1].text in SPEAKING:
            text = f"{tokens[n + 1].text} has no default: it is empty where nothing is said"
            yield Flaw(token.line, token.column, text)
    yield from _flaws_of_lines(tokens)
    if test:
        return
    for n, token in enumerate(tokens):
        name = ".".join((token.text, *chain(tokens, n + 1)[0])) if begins(tokens, n, token.text) else ""
        if name in IMPURE:
            text = f"{name} does not answer the same each time: a decision must come out alike when it is made again"
            yield Flaw(token.line, token.column, text)


def _is_test(behind: Sequence[Token]) -> bool:
    """Whether the head of a rule that goes on so says that it holds, and nothing else."""
    texts = [token.text for token in behind]
    return texts[:1] == ["if"] or texts in (["=", "true"], [":=", "true"])


def _flaws_of_lines(tokens: Sequence[Token]) -> Iterator[Flaw]:
    """What can be written, and is not seen by whoever reads a module by its lines."""
    for n, (before, token) in enumerate(pairwise(tokens), 1):
        if token.text == "(" and before.text == "]" and not token.first:
            yield Flaw(token.line, token.column, "a function is called by its name, as regex.match(…) is")
        if token.kind == "string" and "\\" in token.text and _is_first_of(tokens, n, "glob", ".", "match"):
            text = "an escape in a glob that stands in the call is not found by OPA's index: give it a name (p := …)"
            yield Flaw(token.line, token.column, text)
        begins_rule = token.kind == "name" and (
            token.text not in WORDS or token.text in {"default", "import"}
        )
        if begins_rule and token.depth == 0 and not token.first and _ends(tokens, n - 1):
            yield Flaw(
                token.line, token.column, f"{token.text} must begin a line: each rule has lines of its own"
            )


def _is_first_of(tokens: Sequence[Token], n: int, *name: str) -> bool:
    """Whether it is the first argument in a call of this function."""
    return [token.text for token in tokens[max(0, n - 1 - len(name)) : n]] == [*name, "("]


def _ends(tokens: Sequence[Token], n: int) -> bool:
    """Whether what this is part of may be over with it."""
    token = tokens[n]
    if token.kind == "name":
        return token.text not in WORDS or token.text in _VALUES or (n > 0 and tokens[n - 1].text == ".")
    return token.kind in {"string", "number"} or token.text in {")", "]", "}"}
