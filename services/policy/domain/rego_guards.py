"""What has to hold before a module can say anything, as far as that can be read off its text.

A body is a conjunction: where one `input.a.b == "text"` of it does not hold, the rule says nothing, whatever else
stands in it. A module each of whose rules has such a line need not be asked at all when none of them holds. In doubt
there is no guard, and the module is asked.
"""

from collections.abc import Sequence

from services.policy.domain.rego_text import SPEAKING, Path, Token, chain, is_head, tokens_of

Guard = tuple[Path, str]
"""The value that has to stand there."""

MOST_TOKENS = 60
_ENDS = frozenset({")", "]", "}"})
_OPENS = frozenset({"if", "not", "some", "every", "with", "as", "in", "else", "default", "contains"})


def guards_of(text: str) -> tuple[Guard, ...] | None:
    """One for each rule that speaks: one of them has to hold. None: it has to be asked."""
    tokens = list(tokens_of(text))
    heads = [n for n in range(len(tokens)) if is_head(tokens, n)]
    if not heads:
        return None
    found: list[Guard] = []
    for n, end in zip(heads, [*heads[1:], len(tokens)], strict=True):
        if tokens[n].text not in SPEAKING:
            continue
        guard = _guard(tokens[n:end])
        if guard is None:
            return None
        found.append(guard)
    return tuple(dict.fromkeys(found))


def _guard(rule: Sequence[Token]) -> Guard | None:
    start = next((n for n, token in enumerate(rule) if token.text == "if" and token.depth == 0), None)
    if start is None:
        return None
    body = rule[start + 1 :]
    braces = [n for n, token in enumerate(body) if token.depth == 0 and token.text in {"{", "}"}]
    if not braces:
        return _equality(body)
    if braces != [0, len(body) - 1] or body[0].text != "{":
        return None  # several bodies, or something behind it
    inner = body[1:-1]
    if any(token.text == "|" and token.depth == 1 for token in inner):
        return None  # a set or an object made of others, which holds even if it is empty
    for n in range(len(inner)):
        if _begins(inner, n) and (guard := _equality(_statement(inner, n))) is not None:
            return guard
    return None


def _begins(tokens: Sequence[Token], n: int) -> bool:
    """Whether a statement of its own begins here."""
    if tokens[n].depth != 1 or n == 0:
        return n == 0
    before = tokens[n - 1]
    if before.text == ";" and before.depth == 1:
        return True
    ended = before.kind in {"name", "string", "number"} or before.text in _ENDS
    return tokens[n].first and ended and before.text not in _OPENS


def _statement(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    """Up to where the next one begins; what may still belong to this one, as `with` on a line of its own, does. Nothing
    of one that is longer than an equality."""
    for n in range(start + 1, min(len(tokens), start + MOST_TOKENS)):
        token = tokens[n]
        if token.depth != 1:
            continue
        if token.text == ";":
            return tokens[start:n]
        if _begins(tokens, n) and token.kind in {"name", "string"} and token.text not in {"with", "as", "in"}:
            return tokens[start:n]
    return tokens[start:] if len(tokens) <= start + MOST_TOKENS else ()


def _equality(statement: Sequence[Token]) -> Guard | None:
    """`input.a.b == "text"`, or the other way about, and nothing besides."""
    if len(statement) > 2 and statement[-2].text == "==":
        place, value = statement[:-2], statement[-1]
    elif len(statement) > 2 and statement[1].text == "==":
        value, place = statement[0], statement[2:]
    else:
        return None
    if value.kind != "string" or not value.text.startswith('"') or "\\" in value.text:
        return None
    if place[0].text != "input" or place[0].kind != "name":
        return None
    path, used = chain(place, 1)
    return (path, value.text[1:-1]) if path and used == len(place) else None
