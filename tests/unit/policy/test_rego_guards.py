"""What has to hold before a module speaks: read off its text, and never so that a rule that speaks is not asked."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.policy.adapters.rego.plan import Group
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rego_guards import guards_of
from services.policy.domain.rules import SILENCE

HEAD = "package provost.rules.m\n\n"


@pytest.mark.parametrize(
    ("rules", "guards"),
    [
        ('deny contains "x" if input.a.b == "c"', ((("a", "b"), "c"),)),
        ('deny contains "x" if "c" == input.a["b"]', ((("a", "b"), "c"),)),
        ('deny contains "x" if {\n  input.n > 3\n  input.a == "c" # why\n}', ((("a",), "c"),)),
        ('deny contains "x" if { input.n > 3; input.a == "c"; true }', ((("a",), "c"),)),
        (
            'deny contains "x" if input.a == "c"\n\napprove contains m if {\n  m := "y"\n  input.b == "d"\n}',
            ((("a",), "c"), (("b",), "d")),
        ),
        ('helper if input.q\n\ndeny contains "x" if {\n  helper\n  input.a == "c"\n}', ((("a",), "c"),)),
        ("helper := 1", ()),
        ('deny contains "x" if input.a == "c"\n\ndeny contains "y" if input.n > 3', None),
        ('deny contains "x" if not input.a == "c"', None),
        ('deny contains "x" if {\n  not input.a == "c"\n}', None),
        ('deny contains "x" if input.a != "c"', None),
        ('deny contains "x" if input.a == "c" with input.a as "c"', None),
        ('deny contains "x" if {\n  input.a == "c"\n    with input.a as "c"\n}', None),
        ('deny contains "x" if {\n  ok :=\n    input.a == "c"\n}', None),
        ('deny contains "x" if {\n  input.a == "c"\n  | {"d"}\n}', None),
        ('deny contains "x" if {\n  every e in input.l {\n    input.a == "c"\n  }\n}', None),
        ('deny contains "x" if {\n  count([1 | input.a == "c"]) == 0\n}', None),
        ('deny contains "x" if {\n  input.a == "c\\u0064"\n}', None),
        ('deny contains "x" if input == "c"', None),
        ('deny contains "x" if { y | some y in input.l; input.a == "c" }', None),
        ('deny contains "x" if {\n  "k": y | some y in input.l\n  input.a == "c"\n}', None),
        ('deny contains "x" if input.a[_] == "c"', None),
        ('deny contains "x" if { input.a == "c" } { input.b == "d" }', None),
        ('deny contains "x"', None),
    ],
)
def test_guards_are_read_off_the_text(rules: str, guards: object) -> None:
    assert guards_of(HEAD + rules + "\n") == guards


conditions = st.sampled_from(
    [
        'input.a == "1"', 'input.a == "2"', '"1" == input.b.c', 'input.a != "1"', 'not input.b.c == "1"',
        "input.a == input.b.c", 'some x in ["1"]\n  input.a == x', 'startswith(input.a, "1")', "true",
    ]
)  # fmt: skip
bodies = st.lists(conditions, min_size=1, max_size=3).map(lambda lines: "{\n  " + "\n  ".join(lines) + "\n}")
modules = st.lists(st.tuples(st.sampled_from(["deny", "approve"]), bodies), min_size=1, max_size=3)
INPUTS: list[dict[str, Any]] = [
    {} | ({"a": a} if a else {}) | ({"b": {"c": c}} if c else {})
    for a, c in product(("", "1", "2"), repeat=2)
]
INPUTS.append({"a": ["1"], "b": "1"})


@pytest.fixture(scope="module")
def rules() -> Iterator[RegoRules]:
    made = RegoRules()
    yield made
    made.end()


@pytest.mark.parametrize("module", ["", "package nonsense {", "# nothing"])
def test_a_module_without_a_rule_is_asked_and_what_cannot_be_compiled_refuses(
    rules: RegoRules, module: str
) -> None:
    assert guards_of(module) is None
    (said,) = rules.judge(PolicySet("1", {}, {}, (), (), Rules(rego=(RegoModule("m", module),))), INPUTS[:1])
    assert said.failed or said == SILENCE
    assert said.failed or not module.startswith("package")


@settings(max_examples=40, deadline=None)
@given(modules)
def test_nothing_is_left_unasked_that_would_speak(rules: RegoRules, module: list[tuple[str, str]]) -> None:
    text = (
        HEAD + "\n\n".join(f'{kind} contains "{n}" if {body}' for n, (kind, body) in enumerate(module)) + "\n"
    )
    said = rules.judge(PolicySet("1", {}, {}, (), (), Rules(rego=(RegoModule("m", text),))), INPUTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Group, "silent", lambda *_: False)
        all_asked = rules.judge(PolicySet("1", {}, {}, (), (), Rules(rego=(RegoModule("m", text),))), INPUTS)
    for one, other in zip(said, all_asked, strict=True):
        # A line that cannot be computed does not matter where another one of the same rule does not hold.
        assert one == other or (other.failed and one == SILENCE), text
