"""What rules may call, and what becomes of what cannot be computed: a failure, which denies, with its place."""

import pytest

from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rego_text import IMPURE
from services.policy.domain.rules import RuleOutcome

HOLD = [
    "sort([10, 9]) == [9, 10]",
    "max([9, 10]) == 10",
    'semver.compare("1.10.0", "1.9.0") == 1',
    'object.union({"a": {"b": 1}}, {"a": {"c": 2}}).a.b == 1',
    "19675 % 7 == 5",
    "{1} | {2} - {1} == {1, 2}",
    "0.1 + 0.2 == 0.3",
    "input.action.parameters.replicas > 5",
    'not startswith(input.action.target, "/etc")',
    '[x | some x in {"b", "a"}] == ["a", "b"]',
    'sprintf("%d|%5s|%s", [-1, "a", {"b", "a"}]) == `-1|    a|{"a", "b"}`',
    'crypto.sha256("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"',
    'time.clock([0, "America/Chicago"]) == [18, 0, 0]',
    'net.cidr_contains("10.0.0.0/8", "10.1.2.3")',
    "1e3 == 1000",
]
SILENT = [
    'not startswith(input.action.parameters.path, "/etc")',
    '{"target": t} = input.action; t == "["',
    '("x" in input.action.parameters.list) == false',
    "input.action.parameters.replicas < 5",
]
FAIL = [
    ("to_number(input.action.target) == 5", "to_number"),
    ("1 / count(input.run.labels) == 1", "divide by zero"),
    ("regex.match(input.action.target, `a`)", "missing closing ]"),
    ("not regex.match(input.action.target, `a`)", "missing closing ]"),
    ("time.parse_duration_ns(input.action.target) == 1", "invalid duration"),
]  # fmt: skip
MISTAKES = [
    ("nobody(1)", "undefined function nobody"),
    ("count(1) == 1", "count: invalid argument"),
    ('x := {"a": 1}; x.b == 1', "undefined ref"),
    ('not input.run.labels[i] == "x"', "var i is unsafe"),
    ("f(1, 2, 3)", "has arity 1, got 3 arguments"),
    ('regex["match"]("a", "b")', "called by its name"),
    (r'glob.match("a\\*", [], input.action.target)', "an escape in a glob"),
]


def module(body: str) -> RegoModule:
    text = f'package provost.rules.it\n\ndeny contains "yes" if {{ {body} }}\n\nf(x) := x\n'
    return RegoModule("it", text)


def asked(patient_rules: RegoRules, body: str) -> RuleOutcome:
    policy = PolicySet("1", {}, {}, (), (), Rules(rego=(module(body),)))
    value = {"action": {"target": "[", "parameters": {"replicas": "10"}}, "run": {"labels": []}}
    (outcome,) = patient_rules.judge(policy, [value])
    return outcome


@pytest.mark.parametrize("body", HOLD)
def test_what_holds_says_so(patient_rules: RegoRules, body: str) -> None:
    outcome = asked(patient_rules, body)
    assert (outcome.failed, [each.text for each in outcome.denied]) == ("", ["yes"])


@pytest.mark.parametrize("body", SILENT)
def test_what_does_not_hold_or_is_undefined_says_nothing(patient_rules: RegoRules, body: str) -> None:
    assert asked(patient_rules, body) == RuleOutcome()


@pytest.mark.parametrize(("body", "why"), FAIL)
def test_what_cannot_be_computed_denies_and_says_why_and_where(
    patient_rules: RegoRules, body: str, why: str
) -> None:
    failed = asked(patient_rules, body).failed
    assert failed.startswith("it.rego:3: ")
    assert why in failed


@pytest.mark.parametrize(("body", "why"), MISTAKES)
def test_a_mistake_is_told_with_its_line(patient_rules: RegoRules, body: str, why: str) -> None:
    flaws = patient_rules.examine([module(body)]).flaws
    assert [(flaw.line, why in flaw.text) for flaw in flaws[:1]] == [(3, True)], flaws


@pytest.mark.parametrize("name", sorted(IMPURE))
def test_what_does_not_answer_the_same_each_time_is_a_mistake_where_it_is_called(
    patient_rules: RegoRules, name: str
) -> None:
    body = f"x := 1; {name}(x)"
    (flaw,) = patient_rules.examine([module(body)]).flaws
    assert "does not answer the same each time" in flaw.text
    assert (flaw.line, flaw.column) == (3, module(body).text.split("\n")[2].index(name) + 1)
