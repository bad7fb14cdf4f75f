"""What each function answers that custom rules may call: what OPA's own engine answers, or a failure, which denies.

The expected answers are those of OPA's documentation (Policy Reference, Built-in Functions); tests/system/test_opa.py
asks OPA's own engine the same, and far more of it.
"""

from collections.abc import Iterator

import pytest

from services.policy.adapters.rego import rules as rego
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rego_text import FUNCTIONS, calls_of, read_module, tokens_of
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
    'regex.is_valid("a") == true',
    'regex.is_valid("(") == false',
    'regex.find_all_string_submatch_n("a(.)", "ab", -1) == [["ab", "b"]]',
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
    "sort([10, 9]) == [9, 10]",
    'sort(["b", 1, null, "a", [1], true]) == [null, true, 1, "a", "b", [1]]',
    'semver.compare("1.10.0", "1.9.0") == 1',
    'object.union({"a": {"b": 1}}, {"a": {"c": 2}}).a.b == 1',
    'object.union_n([{"a": 1}, {"b": 2}]) == {"a": 1, "b": 2}',
    'format_int(-255, 16) == "-ff"',
    "time.diff(2678400000000000, 0)[1] == 1",
    'time.format(0) == "1970-01-01T00:00:00Z"',
    'time.parse_rfc3339_ns("1970-01-01T00:00:01Z") == 1000000000',
    'urlquery.encode("a b") == "a+b"',
    'urlquery.decode("a+b") == "a b"',
    'net.cidr_contains("10.0.0.0/8", "10.1.2.3")',
    'net.cidr_is_valid("10.0.0.0/8") == true',
    "19675 % 7 == 5",
    "{1} | {2} - {1} == {1, 2}",
    "{1, 2, 3} - {1} & {3} == {3}",
    "null < false",
    "false < true",
    "true < 0",
    '0 < ""',
    '"z" < []',
    "[1, 10] > [1, 9]",
    "{1, 2} > {1}",
    'max([1, "a"]) == "a"',
    "max([[1, 10], [1, 9]]) == [1, 10]",
    'min(["a", 1]) == 1',
    'concat(",", {"b", "a"}) == "a,b"',
    '[x | some x in {"b", "a"}] == ["a", "b"]',
    'sprintf("%v", [{"b", "a"}]) == `{"a", "b"}`',
    'sprintf("%v %v", [{"a": [1, null]}, 2.5]) == `{"a": [1, null]} 2.5`',
    'sprintf("%d|%5d|%-5d|%05d|%+d", [-1, -1, -1, -1, 1]) == "-1|   -1|-1   |-0001|+1"',
    'sprintf("%5s|%-5s|%.2s", ["a", "b", "cde"]) == "    a|b    |cd"',
    'sprintf("%q", ["a"]) == `"a"`',
    'sprintf("%x %X %o", [255, 255, 8]) == "ff FF 10"',
    'sprintf("%.2f %e", [2.675, 1234.5]) == "2.67 1.234500e+03"',
    'sprintf("%s %d", [1, "a"]) == "%!s(int64=1) %!d(string=a)"',
    'replace("abc", "", "y") == "yaybycy"',
    'strings.count("abc", "") == 4',
    'regex.replace("abc", "b*", "x") == "xaxcx"',
    'regex.replace("ab", "(?P<one>a)(b)", "${2}$one$$") == "ba$"',
    'regex.split("", "ab") == ["a", "b"]',
    'regex.find_n("b*", "ab", -1) == ["", "b"]',
    r"regex.match(`\Aa\z`, `a`)",
    r"not regex.match(`^\w+$`, `añb`)",
    r"not regex.match(`\d`, `٣`)",
    r"regex.match(`\pL`, `é`)",
    'glob.match("a**b", ["/"], "a/b") == true',
    'glob.match("[^a]", [], "^") == true',
    'glob.match("{,a}", [], "") == true',
    'glob.match("/etc/*", ["/"], "/etc/a/b") == false',
]
FAIL = [
    ('to_number("5abc") == 5', "could not parse"),
    ('max(["a"]) - 1 == 0', "expects numeric argument"),
    ("5 > input.action.parameters.replicas - 1", "expects numeric argument"),
    ('startswith(1, "a")', "expects string argument"),
    ("1 / 0 == 1", "divide by zero"),
    ('regex.match("[", "a")', "[ is no pattern: missing ]: ["),
    ('not regex.match("[", "a")', "[ is no pattern: missing ]: ["),
    ('glob.match("{a", [], "a")', "{a is no glob"),
    ('sprintf("%d", []) == "x"', "more places than values"),
    ('sprintf("%d", [1, 2]) == "x"', "more values than places"),
    ('sprintf("%T", [1]) == "x"', "%T is not known here"),
    ('semver.compare("1", "2") == 1', "invalid semver"),
    ('json.unmarshal("{") == 1', "could not deserialize"),
]
UNKNOWN = [
    "json.patch",
    "crypto.sha256",
    "http.send",
    "nobody",
    "opa.runtime",
    "regex.template_match",
    "strings.replace_n",
    "time.now_ns",
]
INPUT = {"time": {"unix_seconds": 100}, "run": {"labels": [], "steps_done": ["PLAN"]}}
ORDER = [
    "input.action.parameters.replicas > 5",
    "not input.action.parameters.replicas <= 5",
    "x := input.action.parameters.replicas; x > 5",
    "limit := 5; input.action.parameters.replicas > limit",
    'object.get(input.action.parameters, "replicas", 0) > 5',
    'some k, v in input.action.parameters; k == "replicas"; v > 5',
    'some x in split(input.action.parameters.replicas, ","); x > 5',
    "input.action.parameters.replicas > count(input.run.labels)",
    "input.run.steps_done > 5",
    "to_number(input.action.parameters.replicas) > 5",
    "clock := time.clock(1800000000000); clock[1] >= 30",
    "[hour, minute, _] := time.clock(1800000000000); hour < 1; minute > 29",
    'lower(input.action.target) > "a"',
]
"""A limit that was forgotten to be a number: every text is more than every number, as at OPA's."""


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


def asked(rules: RegoRules, body: str) -> RuleOutcome:
    policy = PolicySet("1", {}, {}, (), (), Rules(rego=(module(body),)))
    (outcome,) = rules.judge(policy, [INPUT | {"action": {"target": "t", "parameters": {"replicas": "10"}}}])
    return outcome


@pytest.mark.parametrize("body", [*HOLD, *ORDER])
def test_it_answers_as_opas_own(rules: RegoRules, body: str) -> None:
    outcome = asked(rules, body)
    assert (outcome.failed, [each.text for each in outcome.denied]) == ("", ["yes"])


def test_each_function_that_may_be_called_has_been_asked() -> None:
    called = {name for body in HOLD for name, _, _ in calls_of(list(tokens_of(f"_ if {{ {body} }}")))}
    assert FUNCTIONS - called == {"contains"}  # which is also a word of the language


@pytest.mark.parametrize(("body", "why"), FAIL)
def test_what_cannot_be_answered_denies_and_says_why_and_where(rules: RegoRules, body: str, why: str) -> None:
    failed = asked(rules, body).failed
    assert failed.startswith("it: it.rego:3: ")
    assert why in failed


@pytest.mark.parametrize("name", UNKNOWN)
def test_another_function_is_a_mistake_where_it_is_called(rules: RegoRules, name: str) -> None:
    (flaw,) = rules.examine([module(f"x := 1; {name}(x)")]).flaws
    assert name in flaw.text
    assert (flaw.line, module(f"x := 1; {name}(x)").text.split("\n")[2].index(name)) == (3, flaw.column - 1)


@pytest.mark.parametrize("text", ["nobody(x) := x", "import data.provost.rules.other as nobody"])
def test_a_function_of_its_own_is_none(text: str) -> None:
    made = RegoModule("it", f'package provost.rules.it\n\n{text}\n\ndeny contains "x" if nobody(1)\n')
    assert not [flaw for flaw in read_module(made.text).flaws if "nobody" in flaw.text]
