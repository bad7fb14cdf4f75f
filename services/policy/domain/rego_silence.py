"""Custom rules that nothing would ever hear, found by the text of a whole set: silence allows.

Only `deny` and `approve` of a module are asked for. What has another name counts where a rule that is asked reads it;
what reads a name that nothing has is undefined, and whatever depends on it never holds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import RuleFlaw
from services.policy.domain.rego_text import SPEAKING, WORDS, Path, Token, begins, chain, is_head, tokens_of

MOST_LISTED = 20

_RULES = ("provost", "rules")
_NAME_IT = "`deny contains msg if { … }` or `approve contains msg if { … }`"


@dataclass(frozen=True, slots=True)
class _Reference:
    """What of `data` is read, and where."""

    path: Path
    token: Token
    imported: bool = False


@dataclass(frozen=True, slots=True)
class _Module:
    heads: tuple[tuple[Token, bool], ...]
    """Each with whether it is one of many that say something (`name contains …`)."""
    references: tuple[_Reference, ...]
    names: frozenset[str]
    """Those that stand in it anywhere but at the head of a rule."""
    used: frozenset[str]
    """Those of them that stand in a rule, and not in a test alone."""

    @property
    def defines(self) -> frozenset[str]:
        return frozenset(token.text for token, _ in self.heads)

    @property
    def speaks(self) -> bool:
        return not self.defines.isdisjoint(SPEAKING)


def silences(rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    """A flaw for each module and rule that nothing hears, and for each name read that nothing has."""
    modules = {module.id: _read(module.text) for module in rego}
    tests = {f"{module.id}_test": _read(module.test) for module in rego if module.test}
    heard = _heard(modules)
    for n, (id_, module) in enumerate(modules.items()):
        path = f"rules/{n}/rego"
        if id_ in heard:
            yield from _unread(path, module, _read_of(id_, [modules[each] for each in heard]))
        else:
            yield _unheard(path, id_, module)
        yield from _unknown(path, module, modules)
        if f"{id_}_test" in tests:
            yield from _unknown(f"rules/{n}/test", tests[f"{id_}_test"], {**modules, **tests}, test=True)


def idle(rego: Sequence[RegoModule]) -> Iterator[RuleFlaw]:
    """What may go live and was hardly meant: each name that a rule gives a value and that no rule reads.

    Of a set without `silences`.
    """
    modules = {module.id: _read(module.text) for module in rego}
    for n, (id_, module) in enumerate(modules.items()):
        read = _read_of(id_, list(modules.values()))
        said = {*SPEAKING, *module.used}
        for token, _ in module.heads:
            if (
                token.text in said
                or token.text.startswith("test_")
                or not read.isdisjoint({(), (token.text,)})
            ):
                continue
            said.add(token.text)
            text = f"no rule reads `{token.text}`, so it changes no decision: is it meant to be {_NAME_IT}?"
            yield RuleFlaw(f"rules/{n}/rego", token.line, token.column, text)


def _unread(path: str, module: _Module, read: frozenset[Path]) -> Iterator[RuleFlaw]:
    """Its rules that say something to nobody, beside others that are heard."""
    for token, says in module.heads:
        known = token.text in SPEAKING or token.text in module.names or token.text.startswith("test_")
        if says and not known and read.isdisjoint({(), (token.text,)}):
            text = f"nothing reads `{token.text}`, so it does nothing: is it meant to be {_NAME_IT}?"
            yield RuleFlaw(path, token.line, token.column, text)


def _read_of(id_: str, readers: Sequence[_Module]) -> frozenset[Path]:
    """What of module `id_` is read; () is all of it."""
    return frozenset(
        each.path[3:4]
        for reader in readers
        for each in reader.references
        if _of_rule(each) and each.path[2] == id_
    )


def _of_rule(reference: _Reference) -> bool:
    return not reference.imported and reference.path[:2] == _RULES and len(reference.path) > 2


def _heard(modules: Mapping[str, _Module]) -> frozenset[str]:
    """Those that speak, and what these read, and what that reads."""
    heard: set[str] = set()
    left = [id_ for id_, module in modules.items() if module.speaks]
    while left:
        id_ = left.pop()
        if id_ not in heard and id_ in modules:
            heard.add(id_)
            left += [reference.path[2] for reference in modules[id_].references if _of_rule(reference)]
    return frozenset(heard)


def _unheard(path: str, id_: str, module: _Module) -> RuleFlaw:
    rules = [(token, says) for token, says in module.heads if not token.text.startswith("test_")]
    named = next((token for token, says in rules if says), rules[0][0] if rules else None)
    rest = f"Name what refuses or asks {_NAME_IT}, or read it in another rule as data.provost.rules.{id_}"
    if named is None:
        return RuleFlaw(path, 1, 1, f"there is no rule in it that says anything. {rest}")
    text = f"it defines neither `deny` nor `approve`, so `{named.text}` does nothing. {rest}"
    return RuleFlaw(path, named.line, named.column, text)


def _unknown(
    path: str, module: _Module, known: Mapping[str, _Module], *, test: bool = False
) -> Iterator[RuleFlaw]:
    """What it reads of `data` and nothing has. A test may make up what is not of the rules."""
    said: set[Path] = set()
    for reference in module.references:
        problem = _problem(reference.path, known, test=test)
        if problem and reference.path[:4] not in said and reference.path[:3] not in said:
            said.add(reference.path[:4])
            yield RuleFlaw(path, reference.token.line, reference.token.column, f"{problem}. Is it misspelt?")


def _problem(read: Path, known: Mapping[str, _Module], *, test: bool) -> str:
    if read[:2] != _RULES[: len(read)]:
        return "" if test else "data has nothing but data.provost.rules.<id>, the rules of this set"
    if len(read) > 2 and read[2] not in known:
        return f"this set has no rule {read[2]}: it has {_listed(known)}"
    if len(read) > 3 and read[3] not in known[read[2]].defines and not (test and read[3] in SPEAKING):
        return f"rule {read[2]} defines no {read[3]}: it defines {_listed(sorted(known[read[2]].defines))}"
    return ""


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return (", ".join(found[:MOST_LISTED]) or "nothing") + (" …" if len(found) > MOST_LISTED else "")


def _read(text: str) -> _Module:
    tokens = list(tokens_of(text))
    heads = [
        n + 1 if tokens[n].text == "default" and n + 1 < len(tokens) else n
        for n in range(len(tokens))
        if is_head(tokens, n)
    ]
    imports = list(_imports(tokens))
    lines, paths = {each.token.line for _, each in imports}, {name: each.path for name, each in imports}
    references, names, used = [each for _, each in imports], set[str](), set[str]()
    at, tested = set(heads), False
    for n, token in enumerate(tokens):
        if n in at:
            tested = token.text.startswith("test_")
        if n in at or token.line in lines or not begins(tokens, n, token.text):
            continue
        names.add(token.text)
        if not tested:
            used.add(token.text)
        if token.text == "data":
            references.append(_Reference(chain(tokens, n + 1)[0], token))
        elif token.text in paths:
            references.append(_Reference((*paths[token.text], *chain(tokens, n + 1)[0]), token))
    rules = tuple(
        (tokens[n], (end := chain(tokens, n + 1)[1]) < len(tokens) and tokens[end].text == "contains")
        for n in heads
        if tokens[n].text not in WORDS
    )
    return _Module(rules, tuple(references), frozenset(names), frozenset(used))


def _imports(tokens: Sequence[Token]) -> Iterator[tuple[str, _Reference]]:
    """Those from `data`, with the name that each has in the module."""
    for n, token in enumerate(tokens[:-1]):
        if token.text != "import" or not token.first or token.depth or tokens[n + 1].text != "data":
            continue
        path, end = chain(tokens, n + 2)
        renamed = end + 1 < len(tokens) and tokens[end].text == "as"
        name = tokens[end + 1].text if renamed else (path[-1] if path else "data")
        yield name, _Reference(path, tokens[n + 1], imported=True)
