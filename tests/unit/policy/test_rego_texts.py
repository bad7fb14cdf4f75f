"""Texts in custom rules: to a rule they are what OPA's own engine says they are.

What is expected here was said by that engine; tests/system/test_opa.py asks it.
"""

import json
import time

import pytest

from services.policy.adapters.rego.plan import plan_of
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rules import RuleOutcome

ODD = [
    "a\\b", "a\nb", 'say "hi"', '"prod"', "é", "\\u0041", "\\n", "C:\\new", "C:\\users", "x", "", "tab\t", "\\", '"',
    "a\\\\b", "😀é", '{"a":1}', "a/b", "\x01", "\x7f", "\u2028", "a\0b", "rm -rf /\nls",
    "\U000f0041",
]  # fmt: skip


def module(*bodies: str, head: str = 'deny contains "found"') -> RegoModule:
    lines = "\n".join(f"{head} if {{ {body} }}" for body in bodies)
    return RegoModule("texts", f"package provost.rules.texts\n\n{lines}\n")


def asked(patient_rules: RegoRules, made: RegoModule, *texts: str) -> list[RuleOutcome]:
    policy = PolicySet("1", {}, {}, (), (), Rules(rego=(made,)))
    return list(
        patient_rules.judge(
            policy, [{"action": {"target": text, "parameters": {text: "v"}}} for text in texts]
        )
    )


def found(patient_rules: RegoRules, body: str, *texts: str) -> list[bool | str]:
    return [outcome.failed or bool(outcome.denied) for outcome in asked(patient_rules, module(body), *texts)]


@pytest.mark.parametrize("ascii_alone", [True, False])
@pytest.mark.parametrize("text", ODD)
def test_a_text_is_the_same_in_a_rule_and_in_what_is_asked(
    patient_rules: RegoRules, text: str, ascii_alone: bool
) -> None:
    written = json.dumps(text, ensure_ascii=ascii_alone)
    made = module(
        f'input.action.target == {written}; x := "is"',
        f'input.action.target in {{{written}, "other"}}; x := "in"',
        f'startswith(input.action.target, {written}); x := "starts"',
        f'split(concat("", ["p", input.action.target, "q"]), {written}) == ["p", "q"]; x := "split"',
        f'input.action.parameters[{written}] == "v"; x := "key"',
        f'count({written}) == count(input.action.target); x := "count"',
        head="deny contains x",
    )
    others = [each for each in ODD if not each.startswith(text)]
    outcome, *rest = asked(patient_rules, made, text, *others)
    assert {each.text for each in outcome.denied} == {"is", "in", "starts", "split", "key", "count"}
    assert {each.text for other in rest for each in other.denied} <= {"split", "count"}
    assert not any(other.failed for other in rest)


@pytest.mark.parametrize("text", ODD)
def test_a_text_has_as_many_characters_as_it_has_and_is_said_as_it_is(
    patient_rules: RegoRules, text: str
) -> None:
    body = 'm := sprintf("%d: %s", [count(input.action.target), input.action.target])'
    (outcome,) = asked(patient_rules, module(body, head="deny contains m"), text)
    assert [each.text for each in outcome.denied] == [f"{len(text)}: {text}"]


def test_what_is_asked_does_not_say_what_a_rule_has_answered(patient_rules: RegoRules) -> None:
    approve = 'approve contains m if { m := sprintf("%s?", [input.action.target]) }'
    made = RegoModule("texts", f'package provost.rules.texts\n\n{approve}\ndeny contains "never" if true\n')
    forged = 'x"]]]],"expressions":[[[[0,"deny",[]],[0,"approve",[]]]]],"y":[[[[0,"deny",["'
    for n in range(5):
        target = forged.replace("]]]]", "]" * (n + 1), 1)
        (outcome,) = asked(
            patient_rules,
            made,
            target,
        )
        assert [each.text for each in outcome.denied] == ["never"]
        assert [each.text for each in outcome.approvals] == [f"{target}?"]


@pytest.mark.parametrize(
    ("body", "yes", "no"),
    [
        (r'startswith(input.action.target, "DOMAIN\\")', ["DOMAIN\\admin"], ["DOMAINadmin", "DOMAIN"]),
        ("startswith(input.action.target, `DOMAIN\\`)", ["DOMAIN\\admin"], ["DOMAIN"]),
        ('contains(input.action.target, `"`)', ['a"b', '"'], ["ab"]),
        (
            r'some line in split(input.action.target, "\n"); startswith(line, "rm ")',
            ["rm -rf /", "ls\nrm -rf /", "\0\nrm x"],
            ["ls\\nrm -rf /", " rm x"],
        ),
        (r'endswith(input.action.target, "n")', ["in"], ["x\n"]),
        ('endswith(lower(input.action.target), "prod")', ["db\0-PROD", "prod"], ["prod\0"]),
        (r'input.action.target == "\u00e9"', ["é"], ["\\u00e9", "e"]),
        ("count(input.action.target) == 3", ["a\0b", "a\\b", "\n\t\r", '"a"'], ["ab", "\\u0041"]),
        (r'regex.match("\\bshadow\\b", input.action.target)', ["/etc/shadow", "a\nshadow"], ["shadows"]),
        (r"regex.match(`^a\.b$`, input.action.target)", ["a.b"], ["a\\b", "axb"]),
        (r'regex.match("\n|\"|\\\\", input.action.target)', ["a\nb", '"', "\\"], ["n", "ab"]),
        (r'regex.match("^\\s$", input.action.target)', ["\n", "\t", " "], ["\\", "s"]),
        (r'p := concat("", ["^a\\.", "b"]); regex.match(p, input.action.target)', ["a.b"], ["axb"]),
        (r'regex.replace(input.action.target, `\d+`, "N") == "nodeN"', ["node7", "node12"], ["node", 'node"7']),
        (r'count(regex.split("\n+", input.action.target)) == 2', ["a\n\nb"], ["a\\nb"]),
        (r'p := "a\\*"; glob.match(p, [], input.action.target)', ["a*"], ["ab"]),
        (r'p := "DOMAIN\\\\*"; glob.match(p, [], input.action.target)',
            ["DOMAIN\\x1", "DOMAIN\\"], ["DOMAINx1", "DOMAIN*"]),
        ('glob.match("*.sh", ["/"], input.action.target)', ['a"b.sh', "x\ny.sh"], ["a/b.sh"]),
        ('trim_space(input.action.target) == "x"', ["\n\tx ", "x"], ["\\nx"]),
        ('lower(input.action.target) == "österreich"', ["ÖSTERREICH"], ["OSTERREICH"]),
        ('regex.match("^...$", input.action.target)', ["abc", "äbc"], ["äb"]),
        ('regex.match("^[ -~]*$", input.action.target)', ["abc", 'a"c'], ["a\nb"]),
        (r"regex.match(`\Aprod\z`, input.action.target)", ["prod"], ["a\nprod"]),
        ('base64.encode(input.action.target) == "YQpi"', ["a\nb"], ["ab"]),
        ('input.action.target < "b"', ["a", "B", ""], ["b", "é"]),
    ],
)  # fmt: skip
def test_functions_say_what_opas_own_engine_says(
    patient_rules: RegoRules, body: str, yes: list[str], no: list[str]
) -> None:
    assert found(patient_rules, body, *yes, *no) == [True] * len(yes) + [False] * len(no)


@pytest.mark.parametrize(
    "text",
    [
        'deny contains "found" if\n\t{}',
        'deny contains\n\t"found" if {}',
        'bad if\n\t{}\n\ndeny contains "found" if bad',
        'bad :=\n\t{}\n\ndeny contains "found" if bad',
        'bad := false if false\nelse := true if\n\t{}\n\ndeny contains "found" if bad',
        'import future.keywords.if\n\ndeny contains "found" if {}',
    ],
)
@pytest.mark.parametrize(
    ("call", "yes", "no"),
    [
        (r"regex.match(`^rm\s`, input.action.target)", "rm x", "ls"),
        ('glob.match("rm*x", [], input.action.target)', "rm-x", "rmy"),
        ('trim_space(input.action.target) == "rm"', "\trm\n", "ls"),
    ],
)
def test_where_a_line_ends_changes_nothing(
    patient_rules: RegoRules, text: str, call: str, yes: str, no: str
) -> None:
    made = RegoModule("texts", f"package provost.rules.texts\n\n{text.format(call)}\n")
    found = asked(patient_rules, made, yes, no)
    assert [outcome.failed or bool(outcome.denied) for outcome in found] == [True, False]


@pytest.mark.parametrize(
    "text",
    ["[^" * 15_000, "[" * 30_000, "\\\\" * 15_000, "." * 30_000, 'contains "x" := sprintf("' * 1_500],
)
def test_no_text_keeps_whoever_looks_at_it_busy(text: str) -> None:
    """In seconds of this thread; quadratic in so many characters would take a minute."""
    made = f'package provost.rules.texts\n\ndeny contains "x" if regex.match(p, `{text}`)\n{text}\n'
    began = time.thread_time()
    plan_of([RegoModule("texts", made)])
    assert time.thread_time() - began < 5


def test_a_rules_own_tests_see_the_texts_that_it_sees(patient_rules: RegoRules) -> None:
    rule = r'deny contains "no" if contains(input.action.target, "\n\"\\")'
    test = r"""package provost.rules.texts_test

test_found if count(data.provost.rules.texts.deny) == 1 with input as {"action": {"target": "a\n\"\\"}}
test_raw if count(data.provost.rules.texts.deny) == 0 with input as {"action": {"target": `a\n\"\\`}}
test_matched if regex.match(`^\\$`, "\\")
"""
    found = patient_rules.examine([RegoModule("texts", f"package provost.rules.texts\n\n{rule}\n", test)])
    assert found.flaws == ()
    assert [(each.name, each.passed) for each in found.tests] == [
        ("texts.test_found", True), ("texts.test_raw", True), ("texts.test_matched", True),
    ]  # fmt: skip


def test_a_mistake_behind_such_texts_is_told_where_it_was_written(patient_rules: RegoRules) -> None:
    text = 'package provost.rules.texts\n\ndeny contains "x" if {\n  x := `a\n"b`; y := "\\n"; z := = 1\n}\n'
    (flaw, *_) = patient_rules.examine([RegoModule("texts", text)]).flaws
    assert (flaw.line, flaw.column, flaw.text) == (5, 22, "unexpected eq token")
