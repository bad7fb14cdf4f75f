"""What each function answers that custom rules may call: what OPA's own engine answers, or the rule is not asked.

The expected answers are those of OPA's documentation (Policy Reference, Built-in Functions).
"""

from collections.abc import Iterator

import pytest

from services.policy.adapters import rego
from services.policy.adapters.rego import RegoRules
from services.policy.domain import rego_misread, rego_spelling
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rego_order import order_flaws
from services.policy.domain.rego_spelling import own_names
from services.policy.domain.rego_text import calls_of, tokens_of
from services.policy.domain.rules import RuleOutcome

HOLD = [
    "abs(-1) == 1",
    "array.concat([1], [2]) == [1, 2]",
    "array.reverse([1, 2]) == [2, 1]",
    "array.slice([1, 2, 3], 1, 2) == [2]",
    "bits.and(6, 3) == 2",
    "bits.or(6, 3) == 7",
    "bits.xor(6, 3) == 5",
    "bits.lsh(1, 3) == 8",
    "bits.rsh(8, 3) == 1",
    "bits.negate(1) == -2",
    "ceil(1.2) == 2",
    "floor(1.8) == 1",
    "round(1.5) == 2",
    "round(2.5) == 3",
    "round(-1.5) == -2",
    "ceil(-1.2) == -1",
    'concat("-", ["a", "b"]) == "a-b"',
    'contains("abc", "b") == true',
    "count([1, 2]) == 2",
    'count({"a": 1}) == 1',
    "count({1, 2, 2}) == 2",
    'count("äb") == 2',
    'endswith("ab", "b") == true',
    'startswith("ab", "a") == true',
    'graph.reachable({"a": ["b"], "b": []}, ["a"]) == {"a", "b"}',
    'graph.reachable({"a": {"b"}, "b": {"c"}, "c": {"a"}}, {"a"}) == {"a", "b", "c"}',
    'graph.reachable_paths({"a": ["b"], "b": []}, ["a"]) == {["a", "b"]}',
    'indexof("abc", "c") == 2',
    'indexof("abc", "z") == -1',
    'indexof_n("abab", "b") == [1, 3]',
    "intersection({{1, 2}, {2, 3}}) == {2}",
    "union({{1}, {2}}) == {1, 2}",
    "is_array([]) == true",
    "is_boolean(true) == true",
    "is_null(null) == true",
    "is_number(1) == true",
    "is_object({}) == true",
    "is_set({1}) == true",
    'is_string("a") == true',
    'json.filter({"a": {"x": 1, "y": 2}}, ["a/x"]) == {"a": {"x": 1}}',
    'json.remove({"a": {"x": 1, "y": 2}}, ["a/x"]) == {"a": {"y": 2}}',
    'lower("AB") == "ab"',
    'upper("ab") == "AB"',
    "numbers.range(1, 3) == [1, 2, 3]",
    "numbers.range(3, 1) == [3, 2, 1]",
    "numbers.range_step(1, 5, 2) == [1, 3, 5]",
    'object.filter({"a": 1, "b": 2}, ["a"]) == {"a": 1}',
    'object.get({"a": 1}, "a", 0) == 1',
    'object.get({"a": 1}, "b", 0) == 0',
    'object.get({"a": {"b": 1}}, ["a", "b"], 0) == 1',
    'object.get({"a": {"b": 1}}, ["a", "c"], 0) == 0',
    'object.keys({"a": 1, "b": 2}) == {"a", "b"}',
    'object.remove({"a": 1, "b": 2}, ["a"]) == {"b": 2}',
    'object.subset({"a": 1, "b": 2}, {"a": 1}) == true',
    'object.subset({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}) == true',
    'object.subset({"a": 1}, {"a": 2}) == false',
    "object.subset({1, 2}, {1}) == true",
    "object.subset([1, 2, 3], [2, 3]) == true",
    "product([2, 3]) == 6",
    "product({2, 3}) == 6",
    "sum([1, 2.5]) == 3.5",
    "sum({1, 2}) == 3",
    "max([9, 10]) == 10",
    "min([9, 10]) == 9",
    'replace("aXa", "a", "b") == "bXb"',
    'semver.is_valid("1.0.0") == true',
    'semver.is_valid("1.0") == false',
    'semver.is_valid("v1.0.0") == false',
    'split("a,b", ",") == ["a", "b"]',
    'split("ab", "") == ["a", "b"]',
    'sprintf("%d-%s", [1, "a"]) == "1-a"',
    'sprintf("%v", [1]) == "1"',
    'sprintf("%v", [true]) == "true"',
    'sprintf("%v", [1.5]) == "1.5"',
    'sprintf("%05d", [7]) == "00007"',
    'sprintf("%x", [255]) == "ff"',
    'sprintf("%.2f", [1.005]) == "1.00"',
    'sprintf("%s%%", ["a"]) == "a%"',
    'strings.any_prefix_match("abc", ["x", "a"]) == true',
    'strings.any_prefix_match(["abc", "z"], "a") == true',
    'strings.any_suffix_match("abc", {"c"}) == true',
    'strings.count("abab", "ab") == 2',
    'strings.reverse("abc") == "cba"',
    'substring("abc", 1, 1) == "b"',
    'substring("abc", 1, -1) == "bc"',
    'substring("abc", 1, 9) == "bc"',
    "time.add_date(0, 1, 2, 3) == 36892800000000000",
    "time.clock(3661000000000) == [1, 1, 1]",
    "time.date(0) == [1970, 1, 1]",
    'time.weekday(0) == "Thursday"',
    'time.parse_duration_ns("1s") == 1000000000',
    'time.parse_ns("2006-01-02", "1970-01-02") == 86400000000000',
    'to_number("1") == 1',
    'to_number("1.5") == 1.5',
    "to_number(true) == 1",
    "to_number(null) == 0",
    'to_number("-1000") == -1000',
    'trim("xax", "x") == "a"',
    'trim("xyaxy", "yx") == "a"',
    'trim_left("xax", "x") == "ax"',
    'trim_right("xax", "x") == "xa"',
    'trim_prefix("xxa", "x") == "xa"',
    'trim_suffix("axx", "x") == "ax"',
    'trim_space(" a ") == "a"',
    'type_name(1) == "number"',
    'type_name({1}) == "set"',
    'type_name(null) == "null"',
    'units.parse("1K") == 1000',
    'units.parse("1Ki") == 1024',
    'units.parse("500m") == 0.5',
    'units.parse("1M") == 1000000',
    'units.parse_bytes("1KB") == 1000',
    'units.parse_bytes("1KiB") == 1024',
    'units.parse_bytes("1Gi") == 1073741824',
    'base64.encode("a") == "YQ=="',
    'base64.decode("YQ==") == "a"',
    'base64.is_valid("YQ==") == true',
    'base64url.encode("a?>") == "YT8-"',
    'base64url.encode_no_pad("a") == "YQ"',
    'base64url.decode("YQ") == "a"',
    'hex.encode("a") == "61"',
    'hex.decode("61") == "a"',
    'json.is_valid("{}") == true',
    'json.is_valid("{") == false',
    'json.marshal([1]) == "[1]"',
    'json.unmarshal("[1]") == [1]',
    'json.patch({"a": 1}, [{"op": "replace", "path": "a", "value": 2}]) == {"a": 2}',
    'crypto.sha256("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"',
    'crypto.md5("a") == "0cc175b9c0f1b6a831c399e269772661"',
    'crypto.sha1("a") == "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"',
    'crypto.hmac.equal("a", "a") == true',
    'regex.is_valid("a") == true',
    'regex.is_valid("(") == false',
    'regex.find_all_string_submatch_n("a(.)", "ab", -1) == [["ab", "b"]]',
    'regex.template_match("a{.}", "ab", "{", "}") == true',
    'regex.globs_match("a.*", "ab.*") == true',
    'regex.find_n("a.", "abac", -1) == ["ab", "ac"]',
    'regex.find_n("a.", "abac", 1) == ["ab"]',
    'regex.split("[,;]", "a,b;c") == ["a", "b", "c"]',
    'regex.replace("a1b2", "[0-9]", "x") == "axbx"',
    'regex.replace("ab", "(a)(b)", "$2$1") == "ba"',
    'glob.match("a*", [], "abc") == true',
    'glob.match("*.com", ["."], "a.b.com") == false',
    'glob.match("**.com", ["."], "a.b.com") == true',
    'glob.match("*.com", null, "a.com") == true',
    'glob.match("a?c", [], "abc") == true',
    'glob.match("{a,b}c", [], "bc") == true',
    'glob.match("[ab]c", [], "bc") == true',
    'glob.match("[!a]c", [], "bc") == true',
    'glob.match("a*", ["."], "a.b") == false',
    'uuid.parse("00000000-0000-4000-8000-000000000000").version == 4',
    "set() == set()",
    "count(set()) == 0",
    "{1} - {1} == set()",
    "{1, 2} & {2} == {2}",
    "{1} | {2} == {1, 2}",
    "5 / 2 == 2.5",
    "{x | some x in [1, 2]} == {1, 2}",
    "[x | some x in [3, 1]] == [3, 1]",
    '"b" > "a"',
    '"Z" < "a"',
    "10 > 9",
    "1.5 < 2",
    "1 == 1.0",
    '{"a": 1} == {"a": 1.0}',
    'walk({"a": {"b": 1}}, [p, v]); v == 1; p == ["a", "b"]',
    "max({9, 10, 3}) == 10",
    "max([-1, -10]) == -1",
    "min([10, 9]) == 9",
    'max(["a", "b"]) == "b"',
    "not max([])",
    'sprintf("%s/%s", [lower("A"), replace("x", "x", "y")]) == "a/y"',
    'x := concat("-", ["a", "b"]); sprintf("%v", [x]) == "a-b"',
    'sprintf("%s", [object.get({}, "a", "c")]) == "c"',
    'concat(",", {"a"}) == "a"',
    'regex.match("^a+$", "aa")',
]
OTHERWISE = [
    "sort([10, 9]) == [9, 10]",
    'semver.compare("1.10.0", "1.9.0") == 1',
    'object.union({"a": {"b": 1}}, {"a": {"c": 2}}).a.b == 1',
    'object.union_n([{"a": 1}]).a == 1',
    'format_int(-255, 16) == "-ff"',
    "time.diff(2678400000000000, 0)[1] == 1",
    'urlquery.encode("a b") == "a+b"',
    'strings.replace_n({"a": "b", "b": "c"}, "ab") == "bc"',
    'net.cidr_contains("10.0.0.0/8", "10.1.2.3")',
    'yaml.marshal(1) == "1"',
    'time.format(0) == "1970-01-01T00:00:00Z"',
]
FAIL = [
    'max([1, "a"]) == "a"',
    "max([[1, 10], [1, 9]]) == [1, 10]",
    'min(["a", 1]) == 1',
    'concat(",", {"b", "a"}) == "a,b"',
    'sprintf("%v", [{"b", "a"}]) == "x"',
]
INPUT = {"time": {"unix_seconds": 100}}
UNSEEN = [
    "input.action.parameters.replicas > 5",
    "not input.action.parameters.replicas <= 5",
    "5 < input.action.parameters.replicas",
    'input.action.parameters["replicas"] > -1',
    "x := input.action.parameters.replicas; x > 5",
    "limit := 5; input.action.parameters.replicas > limit",
    "p := input.action.parameters; p.replicas > 5",
    "(input.action.parameters.replicas) > 5",
    'object.get(input.action.parameters, "replicas", 0) > 5',
    'some k, v in input.action.parameters; k == "replicas"; v > 5',
    "x = input.action.parameters.replicas; x > 5",
    'k := "replicas"; input.action.parameters[k] > 5',
    'trim(input.action.parameters.replicas, "x") > 5',
    'some x in split(input.action.parameters.replicas, ","); x > 5',
    "input.action.parameters.replicas > count(input.run.labels)",
    "input.action.parameters.replicas > true",
    "null < false",
    "[1, 10] > [1, 9]",
    "{1, 2} > {1}",
    '[1] > "a"',
    "time.clock(input.time.unix_seconds) > [9, 0, 0]",
    "x := 5; [y | some y in [1]; y > x] == []",
    "input.run.steps_done > 5",
    "5 > input.action.parameters.replicas - 1",
    "x := 1; x := input.action.parameters.replicas; x > 5",
]
SEEN = [
    "to_number(input.action.parameters.replicas) > 5",
    "x := to_number(input.action.parameters.replicas); x > 5; 20 > x",
    "n := to_number(input.action.parameters.replicas); limit := n - 1; n > limit",
    "count(input.action.target) < 3",
    "count([x | some x in [1, 2]; x == 1]) < 2",
    "10 > 9; 1.5 < 2; -1 > -2; (1 + 2) * 3 > 8",
    "time.clock(1800000000000)[1] >= 30",
    "clock := time.clock(1800000000000); clock[1] >= 30",
    "[hour, minute, _] := time.clock(1800000000000); hour < 1; minute > 29",
    "input.time.unix_seconds > 3",
    'input.action.target >= "a"; input["action"].target < "z"',
    'lower(input.action.target) > "a"',
    "to_number(input.action.parameters.replicas) -\n    1 > 8",
]


@pytest.fixture(scope="module")
def rules() -> Iterator[RegoRules]:
    made = RegoRules()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rego, "LOAD_SECONDS", 30.0)
        patched.setattr(rego, "JUDGE_SECONDS", 30.0)
        yield made
    made.end()


def module(body: str) -> RegoModule:
    return RegoModule("it", f'package provost.rules.it\n\ndeny contains "yes" if {{ {body} }}\n')


def asked(rules: RegoRules, *modules: RegoModule, target: str = "t") -> RuleOutcome:
    policy = PolicySet("1", {}, {}, (), (), Rules(rego=modules))
    (outcome,) = rules.judge(
        policy, [INPUT | {"action": {"target": target, "parameters": {"replicas": "10"}}}]
    )
    return outcome


@pytest.mark.parametrize("body", HOLD)
def test_it_answers_as_opas_own(rules: RegoRules, body: str) -> None:
    outcome = asked(rules, module(body))
    assert (outcome.failed, [each.text for each in outcome.denied]) == ("", ["yes"])


def test_each_function_that_may_be_called_has_been_asked() -> None:
    """What OPA has besides is refused."""
    called = {name for body in HOLD for name, _, _ in calls_of(list(tokens_of(f"_ if {{ {body} }}")))}
    may = rego_spelling.OURS | rego_misread._ALIKE | rego_misread._PLAIN
    assert may - called == {"contains"}  # which is also a word of the language


@pytest.mark.parametrize("body", OTHERWISE)
def test_what_answers_otherwise_is_a_mistake_and_denies(rules: RegoRules, body: str) -> None:
    (flaw,) = rules.examine([module(body)]).flaws
    assert "does not answer here as OPA does" in flaw.text
    assert "does not answer here as OPA does" in asked(rules, module(body)).failed


@pytest.mark.parametrize("body", FAIL)
def test_what_it_cannot_answer_denies(rules: RegoRules, body: str) -> None:
    assert "cannot be computed" in asked(rules, module(body)).failed


@pytest.mark.parametrize("body", UNSEEN)
def test_what_is_compared_by_order_is_seen_to_be_alike(rules: RegoRules, body: str) -> None:
    """A limit forgotten to be a number denies everything at OPA's, and would deny nothing here."""
    (flaw,) = rules.examine([module(body)]).flaws
    assert "two numbers or two texts" in flaw.text
    assert "two numbers or two texts" in asked(rules, module(body)).failed


@pytest.mark.parametrize("body", SEEN)
def test_numbers_and_texts_are_compared(rules: RegoRules, body: str) -> None:
    assert rules.examine([module(body)]).flaws == ()
    assert asked(rules, module(body)).denied


@pytest.mark.parametrize(
    "rule",
    [
        'limit := 5 if input.a else := "6"',
        'limit := 5\n\nlimit := "6" if input.a',
        "default limit := 5\n\nlimit := input.action.target if input.a",
        "limit[x] := 5 if some x in input.a",
        "limit contains 5",
        "limit(x) := x",
        "limit if input.a",
    ],
)
def test_a_rule_is_a_number_when_it_always_is(rule: str) -> None:
    asking = "deny contains msg if count(input.action.target) > limit"
    assert orders(f"{rule}\n\n{asking}") == 1
    assert orders(f"default limit := 5\n\nlimit := 6 if input.a else := 7\n\n{asking}") == 0


@pytest.mark.parametrize(
    "other",
    [
        "other if { walk(input, [p, x]); x > 5 }",
        "other if to_number(input.a, x); x > 5",
        "other(x) if x > 5",
        "other if { some x in input.a; x > 5 }",
        "other if { some k, x in input.a; x > 5 }",
        "other if { every x in input.a { x > 5 } }",
        'other if { {"a": x} := input.a; x > 5 }',
        "other if { [x, _] := input.a; x > 5 }",
        "other if { x = input.a; x > 5 }",
        "other[x] if x > 5",
    ],
)
def test_a_name_is_one_rules_own(other: str) -> None:
    assert orders(f'deny contains "yes" if {{ x := 6; x > 5 }}\n\n{other}\n') == 1


def orders(rules: str) -> int:
    """How many comparisons by order are a mistake."""
    tokens = list(tokens_of(f"package provost.rules.it\n\n{rules}\n"))
    return len(list(order_flaws(tokens, own_names(tokens))))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("19675 % 7 == 5", "write a - floor(a / b) * b"),
        ("input.time.unix_seconds % 86400 < 3600", "write a - floor(a / b) * b"),
        ("{1} | {2} - {1} == {1, 2}", "put brackets"),
        ("{1, 2, 3} - {1} & {3} == {3}", "put brackets"),
    ],
)
def test_signs_that_are_read_otherwise(rules: RegoRules, body: str, why: str) -> None:
    (flaw,) = rules.examine([module(body)]).flaws
    assert why in flaw.text
    assert why in asked(rules, module(body)).failed


@pytest.mark.parametrize(
    "body",
    [
        "19675 - floor(19675 / 7) * 7 == 5",
        "({1} | {2}) - {1} == {2}",
        "[y | some y in [3]; y - 1 == 2] == [3]",
    ],
)
def test_what_to_write_instead(rules: RegoRules, body: str) -> None:
    assert rules.examine([module(body)]).flaws == ()
    assert asked(rules, module(body)).denied


@pytest.mark.parametrize(
    "said", ["5abc", "1_000_000", "3,000", "0x10", "1e22", "007", "+5", " 5", "9007199254740993", ""]
)
def test_what_is_no_plain_number_refuses(rules: RegoRules, said: str) -> None:
    """Some read it as a number, some do not: an actuator may."""
    assert "cannot be computed" in asked(rules, module(f'not to_number("{said}") <= 5')).failed


LIBRARY = r"""package provost.rules.lib

matches(pattern, text) if regex.match(pattern, text)

encoded(text) := base64.encode(text)

forbidden := {`^[ -~]+;`, `^db.$`}
"""


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ('data.provost.rules.lib.matches("^...$", input.action.target)', "äbc"),
        ("some p in data.provost.rules.lib.forbidden; regex.match(p, input.action.target)", 'say "x";'),
        ("some p in data.provost.rules.lib.forbidden; regex.match(p, input.action.target)", "dbö"),
    ],
)
def test_a_pattern_of_another_module_is_not_asked_about_what_it_may_misread(
    rules: RegoRules, body: str, target: str
) -> None:
    assert "cannot be asked" in asked(rules, RegoModule("lib", LIBRARY), module(body), target=target).failed


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            r"data.provost.rules.lib.matches(`^\pL+$`, input.action.target)",
            r"\p in a pattern is not understood",
        ),
        (r'data.provost.rules.lib.encoded("a\"b") == input.action.target', "base64.encode would misread"),
    ],
)
def test_a_text_that_another_module_is_handed_is_a_mistake_there(
    rules: RegoRules, body: str, said: str
) -> None:
    modules = (RegoModule("lib", LIBRARY), module(body))
    (flaw,) = rules.examine(modules).flaws
    assert said in flaw.text
    assert flaw.path == "rules/1/rego"
    assert said in asked(rules, *modules).failed
