"""What custom rules compare by order (`<`, `>=` …): numbers with numbers or texts with texts, and it has to be seen.

To OPA everything has its place in one order: a text is more than any number, an array is compared item by item. The
engine that evaluates rules here goes by the texts of what it does not expect, and a rule that is silent allows. What a
parameter of an action says is always a text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from services.policy.domain.rego_text import WORDS, Flaw, Path, Token, chain, is_head

SIGNS = {"<", "<=", ">", ">="}
_MOST_TOKENS = 60
"""Of one side, in which is looked for what it is."""
_WHY = (
    "what is compared by order must be seen to be two numbers or two texts (to OPA a text is more than any number): "
    "write to_number(…) or count(…), or compare by =="
)
_ARITHMETIC = {"+", "-", "*", "/", "%"}
_ENDS = SIGNS | {"{", "}", ";", ",", "|", "&", "==", "!=", ":=", "="} | (WORDS - {"input", "data", "_"})
_NUMBERS = {
    "abs", "bits.and", "bits.lsh", "bits.negate", "bits.or", "bits.rsh", "bits.xor", "ceil", "count", "floor",
    "indexof", "product", "round", "strings.count", "sum", "time.parse_duration_ns", "time.parse_ns", "to_number",
    "units.parse", "units.parse_bytes",
}  # fmt: skip
_TEXTS = {
    "concat", "lower", "replace", "sprintf", "strings.reverse", "substring", "time.weekday", "trim", "trim_left",
    "trim_prefix", "trim_right", "trim_space", "trim_suffix", "upper",
}  # fmt: skip
_LISTS = {"time.clock", "time.date"}
"""Functions that answer with a list of numbers."""
_INPUT: dict[Path, str] = {
    **dict.fromkeys([("action", each) for each in ("name", "target", "environment")], "text"),
    **dict.fromkeys([("agent", each) for each in ("id", "tier", "version")], "text"),
    **dict.fromkeys([("run", each) for each in ("id", "task_id", "mode")], "text"),
    ("time", "unix_seconds"): "number",
}


def order_flaws(tokens: Sequence[Token], own: set[str]) -> Iterator[Flaw]:
    """Each sign of order of a module beside which something else stands; `own` are names no built-in function has."""
    signs = [n for n, token in enumerate(tokens) if token.text in SIGNS]
    if not signs:
        return
    heads = [n for n in range(len(tokens)) if is_head(tokens, n)]
    rules = [range(start, end) for start, end in pairwise([*heads, len(tokens)])]
    everywhere: dict[str, str] = {}
    for _ in range(4):  # a name may be given the value of another one
        everywhere = _together(_Sides(tokens, own, rule, everywhere).given_by_head() for rule in rules)
    for rule in rules:
        inside = [n for n in rule if tokens[n].text in SIGNS]
        if not inside:
            continue
        sides = _Sides(tokens, own, rule, everywhere)
        for n in inside:
            left, right = sides.kind(sides.before(n)), sides.kind(sides.behind(n))
            if left != right or left not in {"number", "text"}:
                yield Flaw(tokens[n].line, tokens[n].column, _WHY)


def _together(given: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Of which kind names are, that are given values in several places: empty where that differs."""
    found: dict[str, str] = {}
    for each in given:
        for name, kind in each.items():
            found[name] = kind if found.get(name, kind) == kind else ""
    return found


class _Sides:
    """What stands beside the signs of a rule, and its kind: `number`, `text`, `list` (of numbers), or empty."""

    def __init__(
        self, tokens: Sequence[Token], own: set[str], rule: range, everywhere: Mapping[str, str]
    ) -> None:
        self._tokens = tokens
        self._own = own
        self._rule = rule
        self._everywhere = everywhere
        self._names: dict[str, str] = {}
        self._lost = False
        unknown = dict.fromkeys(self._bound_otherwise(), "")
        for _ in range(4):
            self._names = {**_together(self._given()), **unknown}

    def given_by_head(self) -> dict[str, str]:
        """The name of the rule, with the kind of its values."""
        n = self._rule.start + (self._tokens[self._rule.start].text == "default")
        if n + 1 >= len(self._tokens):
            return {}
        kinds = {self.kind(self.behind(n + 1)) if self._tokens[n + 1].text == ":=" else ""}
        kinds |= {
            self.kind(self.behind(at + 1)) if self._tokens[at + 1].text == ":=" else ""
            for at in self._rule
            if self._tokens[at].text == "else" and at + 1 in self._rule
        }
        return {self._tokens[n].text: kinds.pop() if len(kinds) == 1 else ""}

    def before(self, n: int) -> list[Token]:
        """What stands before the sign at `n`."""
        depth, at = self._tokens[n].depth, n
        while at > 0 and n - at <= _MOST_TOKENS and not self._ends(self._tokens[at - 1], depth):
            at -= 1
            if self._tokens[at].first and self._tokens[at].depth == depth and not self._goes_on(at - 1):
                break
        return list(self._tokens[at:n])

    def behind(self, n: int) -> list[Token]:
        """What stands behind the sign at `n`."""
        depth, at = self._tokens[n].depth, n + 1
        while at < len(self._tokens) and at - n <= _MOST_TOKENS and not self._ends(self._tokens[at], depth):
            token = self._tokens[at]
            if token.first and token.depth == depth and at > n + 1 and not self._goes_on(at - 1):
                break
            at += 1
        return list(self._tokens[n + 1 : at])

    def kind(self, side: list[Token]) -> str:
        """Of one side."""
        if not 0 < len(side) < _MOST_TOKENS:
            return ""
        depth = side[0].depth
        signs = [n for n, token in enumerate(side) if token.depth == depth and token.text in _ARITHMETIC]
        if not signs:
            return self._term(side)
        starts = [0, *(n + 1 for n in signs)]
        parts = [side[start:end] for start, end in zip(starts, [*signs, len(side)], strict=True)]
        if not parts[0] and side[0].text == "-":
            del parts[0]
        return "number" if all(self._term(part) == "number" for part in parts) else ""

    def _term(self, side: list[Token]) -> str:
        if not side:
            return ""
        texts = [token.text for token in side]
        if all(text.isdigit() or text == "." for text in texts):
            return "number"
        if len(side) == 1 and side[0].kind == "string":
            return "text"
        if texts[0] == "(" and self._closes(side, 0) == len(side) - 1:
            return self.kind(side[1:-1])
        if texts[0] == "input":
            path, end = chain(side, 1)
            if end < len(side):
                return ""
            return "text" if path[:2] == ("action", "parameters") and len(path) == 3 else _INPUT.get(path, "")
        if side[0].kind != "name":
            return ""
        if len(side) == 1:
            return self._named(texts[0])
        return self._called(side, texts)

    def _named(self, name: str) -> str:
        return "" if self._lost else self._names.get(name, self._everywhere.get(name, ""))

    def _called(self, side: list[Token], texts: list[str]) -> str:
        at = next((n for n, text in enumerate(texts) if text in {"(", "["}), len(texts))
        name = "".join(texts[:at])
        if at < len(texts) and texts[at] == "[":
            end = self._closes(side, at)
            return "number" if end == len(side) - 1 and self._named(name) == "list" else ""
        if at == len(texts) or texts[0] in self._own:
            return ""
        end = self._closes(side, at)
        kind = (
            "number" if name in _NUMBERS else "text" if name in _TEXTS else "list" if name in _LISTS else ""
        )
        if end == len(side) - 1:
            return kind
        indexed = texts[end + 1] == "[" and self._closes(side, end + 1) == len(side) - 1
        return "number" if kind == "list" and indexed else ""

    def _given(self) -> Iterator[dict[str, str]]:
        """Names that `:=` gives a value inside the rule."""
        for n in self._rule[2:]:
            if self._tokens[n].text != ":=":
                continue
            kind, before = self.kind(self.behind(n)), self._tokens[n - 1]
            if before.kind == "name":
                yield {before.text: kind}
            else:  # [hour, minute, _] := time.clock(…)
                alone = before.text == "]" and kind == "list"
                yield dict.fromkeys(self._within(n - 1), "number" if alone else "")

    def _within(self, n: int) -> Iterator[str]:
        """The names between the brackets of which the last stands at `n`."""
        depth, at = self._tokens[n].depth, n - 1
        while at in self._rule and self._tokens[at].depth > depth:
            if n - at > _MOST_TOKENS:
                self._lost = True  # whoever names so many does not get to compare any of them
                return
            if self._tokens[at].kind == "name":
                yield self._tokens[at].text
            at -= 1

    def _bound_otherwise(self) -> Iterator[str]:
        """Names that may have a value in the rule that no `:=` gives them."""
        tokens, listing = self._tokens, False
        start = self._rule.start
        if start + 1 in self._rule and tokens[start + 1].text in {"(", "["}:
            end = self._closes(tokens, start + 1)
            yield from (each.text for each in tokens[start + 2 : end] if each.kind == "name")
        for n in self._rule:
            token = tokens[n]
            listing = token.text in {"some", "every"} or (
                listing and token.text not in {"in", "{", "}", ";"} and not token.first
            )
            beside = {tokens[at].text for at in (n - 1, n + 1) if at in self._rule}
            if token.kind == "name" and (listing or "=" in beside):
                yield token.text

    def _ends(self, token: Token, depth: int) -> bool:
        return token.depth < depth or (
            token.depth == depth and token.kind != "string" and token.text in _ENDS
        )

    def _goes_on(self, n: int) -> bool:
        """Whether what stands here goes on in the next line."""
        return n >= 0 and self._tokens[n].text in _ARITHMETIC | SIGNS

    @staticmethod
    def _closes(side: Sequence[Token], opened: int) -> int:
        """Where the bracket that stands at `opened` is closed; the end when it is not."""
        depth = side[opened].depth
        return next((n for n in range(opened + 1, len(side)) if side[n].depth == depth), len(side))
