"""Every function that custom rules may call, asked of Provost's rules and of OPA's own engine: the same answers."""

import json
from itertools import product
from pathlib import Path

import httpx2
import pytest

from services.policy.adapters.rego import rules
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.rego_text import FUNCTIONS, calls_of, tokens_of
from tests.fakes.opa_server import OpaProcess
from tests.unit.policy.test_rego_functions import HOLD

pytestmark = pytest.mark.system

TEXTS = [
    "",
    "a",
    "ab",
    "abab",
    "äb",
    "A B",
    " x ",
    "\n",
    "\u00a0x",
    "😀",
    "a,b,,c",
    "1.0",
    "\0",
    "É",
    'say "x"',
    "C:\\x",
]
NUMBERS = ["0", "1", "-1", "2.5", "-2.5", "0.5", "1234567", "3"]
WHOLE = ["0", "1", "-1", "5", "63", "255"]
VALUES = ["1", "-1", "2.5", '"a"', "true", "null", '[1, "b"]', '{"a": 1}', "{1, 2}", '"é"', "255", "0", '""']
OBJECTS = ['{"a": 1, "b": {"c": 2}}', "{}", '{"a": [1, 2]}', '{"a": null}', '{"b": {"d": 3}}']
LISTS = [
    "[]",
    "[3, 1, 2]",
    "{3, 1}",
    '[1, "a", null, true]',
    '{"b", "a"}',
    "[[2], [1, 5]]",
    "[-1, 2.5]",
    "{{2}, {1}}",
]
NUMBER_LISTS = ["[3, 1, 2]", "{3, 1}", "[-1, 2.5]", "[]"]
MOMENTS = ["0", "1700000000000000000", "951782400000000000", "4102444800000000000"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York"]
PATTERNS = [
    "a", "b*", "", "^", "$", "a|b", "(a)(b)?", "[a-z]+", r"\d+", r"\bx", "é", "(?i)A", ".", "^.*$", "a*?", "x{2}",
    r"\s", "(?P<n>a)b", "[^,]*", ",", r"\pL", r"\w", r"\Aab", r"b\z", "[[:alpha:]]", r"[\d.]", "(?s)a.b",
    "(?m)^b", r"\x41",
]  # fmt: skip
MATCHED = ["", "a", "ab", "abab", "xx a1,b22", "é1é", "a\nb", "aAaA", "a,b,,c", "  x  ", "añb", "٣"]
REPLACED = ["", "x", "$1", "${1}y", "$n", "$$", "$", "$9", "$1x", "${n}", "$é", r"\1"]
GLOBS = [
    "a*", "*", "**", "*.com", "**.com", "a?c", "[ab]c", "[!a]c", "[a-c]x", "{a,b}", "{a*,b}", "a\\*", "\\\\", "*.*",
    "a.*.c", "", "{a,{b,c}}", "[^a]", "*a*b*", "é*", "/etc/**", "/etc/*", "**/x", "a**b", "{,a}", "!a", "**.b.**",
]  # fmt: skip
GLOBBED = [
    "", "a", "abc", "ac", "bc", "a.com", "x.a.com", "a.b.c", "a*", "\\", "b", "c", "é", "aé", "/etc/passwd", "/etc/a/b",
    "x/y/x", "axb", "a/b", "a\nb", "!a", "ab", "^",
]  # fmt: skip
FORMATS = [
    "v",
    "5d",
    "-5d",
    "05d",
    "+d",
    "d",
    "x",
    "X",
    "o",
    "s",
    "5s",
    "-5s",
    ".2s",
    "f",
    ".2f",
    "8.3f",
    "e",
    "q",
]
UNITS = ["1", "1K", "1Ki", "1.5M", "100m", "1G", "2Ti"]
VERSIONS = ["1.0.0", "1.10.0", "1.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0+b"]
NETWORKS = ["10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "0.0.0.0/0", "192.168.1.0/24"]
ADDRESSES = ["10.1.2.3", "10.0.0.0/16", "2001:db8::1", "::1", "192.168.1.255"]
GRAPH = '{"a": ["b"], "b": ["c", "a"], "c": []}'


def quoted(*values: str) -> list[str]:
    return [json.dumps(value, ensure_ascii=False) for value in values]


def calls(names: str, *arguments: list[str]) -> list[str]:
    return [f"{name}({', '.join(each)})" for name in names.split() for each in product(*arguments)]


def fits(form: str, value: str) -> bool:
    """Whether there is anything to compare: Go says in its own words of a value that the verb does not fit."""
    number = value.lstrip("-")[:1].isdigit()
    whole = number and "." not in value
    return form[-1] == "v" or (
        whole if form[-1] in "dxXo" else number and not whole if form[-1] in "fe" else not number
    )


TEXT, FEW = quoted(*TEXTS), quoted(*TEXTS[1:9])
ASKED = [
    *calls(
        "lower upper trim_space strings.reverse type_name is_string base64.encode base64url.encode hex.encode"
        " base64url.encode_no_pad json.marshal json.is_valid urlquery.encode",
        TEXT,
    ),
    *calls("count", [each for each in TEXT if "😀" not in each]),
    *calls("startswith endswith contains split trim trim_left trim_right trim_prefix trim_suffix", TEXT, TEXT),
    *calls("strings.count strings.any_prefix_match strings.any_suffix_match", TEXT, TEXT),
    *calls("indexof indexof_n", TEXT, FEW),
    *calls("replace", TEXT, FEW, quoted("", "x", "é")),
    *calls("substring", TEXT, ["0", "1", "2", "9"], ["-1", "0", "1", "9"]),
    *calls("abs ceil floor round json.marshal to_number type_name is_number is_null is_boolean", NUMBERS),
    *[f"{a} {sign} {b}" for sign in ("==", "<", ">=", "+", "-", "*") for a, b in product(NUMBERS, NUMBERS)],
    *[f"{a} / {b}" for a, b in product(NUMBERS, NUMBERS[1:])],
    *[f"{a} % {b}" for a, b in product(WHOLE, WHOLE[1:])],
    *calls("format_int", WHOLE, ["2", "8", "10", "16"]),
    *calls("bits.and bits.or bits.xor", WHOLE, WHOLE),
    *calls("numbers.range", WHOLE[:5], WHOLE[:5]),
    *calls("bits.lsh bits.rsh", WHOLE, ["0", "1", "8"]),
    *calls("bits.negate", WHOLE),
    *calls("numbers.range_step", ["0", "5"], ["0", "5", "7"], ["1", "2", "3"]),
    *calls("sort", LISTS),
    *calls("max min", LISTS),
    *calls("sum product", NUMBER_LISTS),
    *calls("count is_array is_set is_object json.marshal", LISTS),
    *calls("array.concat", [each for each in LISTS if each[0] == "["], [each for each in LISTS if each[0] == "["]),
    *calls("array.reverse", [each for each in LISTS if each[0] == "["]),
    *calls("array.slice", ["[3, 1, 2]"], ["-1", "0", "1", "5"], ["-1", "0", "2", "9"]),
    *calls("union intersection", ["{{1, 2}, {2}}", "{{1}}", "{set()}"]),
    *[f"{a} {sign} {b}" for sign in ("==", "<", ">=") for a, b in product(VALUES, VALUES) if a[0] + b[0] not in "{{{"],
    *[f"{a} {sign} {b}" for sign in "|&-" for a, b in product(["{3, 1}", '{"a", 1}', "set()"], repeat=2)],
    *calls("concat", quoted(",", ""), ['["a", "b"]', '{"b", "a"}', "[]"]),
    *calls("object.union object.subset", OBJECTS, OBJECTS),
    *calls("object.remove object.filter", OBJECTS, ['["a"]', '{"a"}', '{"a": 1}']),
    *calls("object.get", OBJECTS, ['"a"', '["b", "c"]', "[]"], ["9"]),
    *calls("json.filter json.remove", OBJECTS, ['["a"]', '["b/c"]', '[["b", "c"]]']),
    *calls("object.keys count type_name", OBJECTS),
    *[f"[[at, of] | walk({each}, [at, of])]" for each in OBJECTS],
    *calls("time.clock time.date time.weekday time.format", MOMENTS),
    *calls("time.clock time.date time.weekday", [f'[{at}, "{zone}"]' for at in MOMENTS for zone in ZONES]),
    *calls("time.diff", MOMENTS, MOMENTS),
    *calls("time.parse_duration_ns", quoted("1s", "1h2m", "-1.5h", "10ms", "1us")),
    *calls("time.parse_rfc3339_ns", quoted("2020-01-01T00:00:00Z", "2020-01-01T00:00:00.123456789+01:00")),
    *calls("time.parse_ns", quoted("2006-01-02"), quoted("2020-02-29", "1999-12-31")),
    *calls("units.parse", quoted(*UNITS)),
    *calls("units.parse_bytes", quoted("1", "1KB", "1KiB", "1k", "1mb", "2Ti")),
    *calls("semver.compare", quoted(*VERSIONS), quoted(*VERSIONS)),
    *calls("semver.is_valid", quoted(*VERSIONS, "1.0", "x", "")),
    *calls("net.cidr_contains", quoted(*NETWORKS), quoted(*ADDRESSES)),
    *calls("net.cidr_is_valid", quoted(*NETWORKS, *ADDRESSES, "x")),
    *calls("graph.reachable graph.reachable_paths", [GRAPH], ['["a"]', '{"c"}', '["zz"]', "[]"]),
    *calls("regex.match regex.split", quoted(*PATTERNS), quoted(*MATCHED)),
    *calls("regex.find_n regex.find_all_string_submatch_n", quoted(*PATTERNS), quoted(*MATCHED), ["-1", "1", "2"]),
    *calls("regex.replace", quoted(*MATCHED), quoted(*PATTERNS), quoted(*REPLACED)),
    *calls("regex.is_valid", quoted(*PATTERNS, "(", "[", "a**", r"\y")),
    *calls("glob.match", quoted(*GLOBS), ["[]", '["/"]', "null", '[".", "/"]'], quoted(*GLOBBED)),
    *[f'sprintf("%{form}", [{value}])' for form in FORMATS for value in VALUES if fits(form, value)],
]  # fmt: skip


def rules_of() -> str:
    rules = [f'deny contains {{"id": "h{n}", "text": "true"}} if {{ {body} }}' for n, body in enumerate(HOLD)]
    rules += [
        f'deny contains {{"id": "{n}", "text": json.marshal([v])}} if {{ v := {asked} }}'
        for n, asked in enumerate(ASKED)
    ]
    return "package provost.rules.it\n\n" + "\n".join(rules) + "\n"


def test_every_function_answers_as_opas_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.json").write_text("{}", "utf-8")
    (tmp_path / "it.rego").write_text(rules_of(), "utf-8")
    monkeypatch.setattr(rules, "LOAD_SECONDS", 60.0)
    monkeypatch.setattr(rules, "JUDGE_SECONDS", 60.0)
    opa, mine = OpaProcess(tmp_path), RegoRules()
    try:
        answer = httpx2.post(f"{opa.url}/v1/data/provost/rules/it/deny", json={"input": {}}, timeout=60.0)
        theirs = {each["id"]: json.loads(each["text"]) for each in answer.json()["result"]}
        policy = PolicySet("1", {}, {}, (), (), Rules(rego=(RegoModule("it", rules_of()),)))
        (said,) = mine.judge(policy, [{}])
    finally:
        mine.end()
        opa.stop()
    assert not said.failed
    ours = {each.rule: json.loads(each.text) for each in said.denied}
    assert {f"h{n}" for n in range(len(HOLD))} <= ours.keys()
    apart = [
        (ASKED[n], ours.get(str(n)), theirs.get(str(n)))
        for n in range(len(ASKED))
        if ours.get(str(n)) != theirs.get(str(n))
    ]
    assert not apart, f"{len(apart)} of {len(ASKED)} differ"
    assert {each for each in theirs if each.startswith("h")} == {f"h{n}" for n in range(len(HOLD))}
    called = {
        name for each in (*HOLD, *ASKED) for name, _, _ in calls_of(list(tokens_of(f"_ if {{ {each} }}")))
    }
    assert called - {"contains"} == FUNCTIONS - {"contains"}
    print(f"{len(ASKED)} questions, the same answers")
