"""What is no YAML is told in plain words, where it is mended."""

from time import process_time

import pytest

from tests.unit.policy.words import SETS

HEAD = 'version: "1"\n'


def told(document: str) -> tuple[str, str, str]:
    """What stands where the only problem is told, its place, and its text."""
    (problem,) = SETS.look(document).problems
    line, column = (int(part.split()[1]) for part in problem.facts["place"].split(", "))
    lines = document.splitlines()
    return lines[line - 1][column - 1 :] if line <= len(lines) else "", f"{line}:{column}", problem.problem


INDENTED = "indentation fits nothing above"
NO_COLON = "no ':' behind this name"


@pytest.mark.parametrize(
    ("text", "at", "stands", "said"),
    [
        ("actions:\n\tfoo: x\n", "3:1", "\tfoo", "a tab cannot stand here: indent with spaces"),
        ("actions:\n  foo: x\n\tbar: y\n", "4:1", "\tbar", "a tab cannot stand here"),
        ("why: @foo\n", "2:6", "@foo", "a value cannot begin with '@': put it in quotes"),
        ("why: `foo`\n", "2:6", "`foo`", "a value cannot begin with '`'"),
        ('why: "foo\nmore: x\n', "2:6", '"foo', "this quote is never closed"),
        ("why: 'foo\nmore: x\n", "2:6", "'foo", "this quote is never closed"),
        ('why: "foo\nmore: "x"\n', "2:6", '"foo', "this quote is never closed"),
        ('a: "b\n  c"\nwhy: "\nmore:\n  - x: ["y"]\n    z: 1\n', "4:6", '"', "this quote is never closed"),
        ('a: "b\n  c"\nwhy: "foo" bar\n', "4:12", "bar", "behind the end of a value: is a quote or a comma missing?"),
        ('why: "foo" bar\n', "2:12", "bar", "behind the end of a value"),
        ("why: [a] b\n", "2:10", "b", "behind the end of a value"),
        ('why: "a", "b"\n', "2:9", ",", "a list on one line stands in brackets"),
        ("why: [a, b\nmore: x\n", "2:6", "[a", "this '[' is never closed with ']'"),
        ("why: {a: 1, b: 2\nmore: x\n", "2:6", "{a", "this '{' is never closed with '}'"),
        ("why: [a, b\n", "2:6", "[a", "this '[' is never closed"),
        ("why: [a}\n", "2:8", "}", "'[' is closed with ']', not with '}'"),
        ("why: {a: 1 b: 2}\n", "2:13", ": 2", "a comma is missing before this"),
        ("why: [a]]\n", "2:9", "]", "nothing is open that this ']' could close"),
        ("why: ]\n", "2:6", "]", "nothing is open that this ']' could close"),
        ("why: [a,\n", "3:1", "", "a value is missing here"),
        ("actions\n  foo: x\n", "2:1", "actions", NO_COLON),
        ("actions\nfoo: x\n", "2:1", "actions", NO_COLON),
        ("actions:\n  foo\n  bar: x\n", "3:3", "foo", NO_COLON),
        ("actions:\n  foo: x\n  bar\n", "4:3", "bar", NO_COLON),
        ('why:"foo"\nmore: x\n', "2:4", ':"foo"', "no space behind this ':'"),
        ("actions:\n  foo:x\n  # of it\n\n  bar: y\n", "3:6", ":x", "no space behind this ':'"),
        ('version: "2"\n', "2:1", "version", "'version' is here for the second time"),
        ("actions:\n  foo: x\n  foo: y\n", "4:3", "foo: y", "'foo' is here for the second time"),
        ("actions:\n  foo: x\n bar: y\n", "4:2", "bar", INDENTED),
        ("  actions:\n    foo: x\n", "2:3", "actions", INDENTED),
        ("actions:\n  foo: x\n    bar: y\n", "4:5", "bar", INDENTED),
        ("rules:\n  - id: x\n   rego: y\n", "4:4", "rego", INDENTED),
        ("rules:\n  - x\n - y\n", "4:2", "- y", INDENTED),
        ("why: [a,\n  b]\n    bar: y\n", "4:5", "bar", INDENTED),
        ("why: |\n  a\n b\nmore: 1\n", "4:2", "b", INDENTED),
        ("rules:\n  - id: x\n  rego: y\n", "4:3", "rego", "a name among the entries of a list"),
        ("actions:\n  foo: x\n  - bar\n", "4:3", "- bar", "an entry of a list among names"),
        ("why: - a\n", "2:6", "- a", "a list begins on a line of its own"),
        ("why: foo: bar\n", "2:9", ": bar", "a second ': ' in one line: put the value in quotes"),
        ("why: foo: [a]\n", "2:9", ": [a]", "a second ': ' in one line"),
        ("why: *\n", "2:6", "*", "a value that begins with '*' or '&' has to be in quotes"),
        ("why: *.foo\n", "2:6", "*.foo", "aliases are not allowed: write the value out, in quotes if it begins"),
        ("why: |foo\n  bar\n", "2:7", "foo", "the text begins on the next line"),
        ('why: "a\\d"\n', "2:9", "d", r"'\d' means nothing in double quotes: use single quotes, or '\\d'"),
        ('---\nversion: "2"\n', "2:1", "---", "a set is one document"),
        ("why: a\x07b\n", "2:7", "\x07b", "U+0007 cannot stand in YAML"),
        ("why: 2026-13-45\n", "2:6", "2026", "month must be in 1..12: put the value in quotes"),
        ("why: !!bool foo\n", "2:6", "!!bool", "is not what its tag says"),
        ("why: !!set 3\n", "2:6", "!!set", "is not what its tag says"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_told_in_plain_words(text: str, at: str, stands: str, said: str) -> None:
    found, place, problem = told(HEAD + text)
    assert (place, found.startswith(stands)) == (at, True), problem
    assert said in problem
    assert not any(word in problem for word in ("<block", "scalar", "mapping", "token", "stream", "ruamel"))


@pytest.mark.parametrize(
    "line", ["-" * 200_000 + "x!", "x" * 200_000 + "!", "b" + " " * 200_000 + "!", "-x" * 99_999]
)
def test_no_long_line_is_looked_at_in_every_way(line: str) -> None:
    began = process_time()
    assert SETS.look(f"{HEAD}{line}\nactions: {{}}\n").problems
    assert process_time() - began < 5, "it takes a tenth of that"


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ('version: "\\UFFFFFFFF"\n', "line 1, column 13"),
        ('actions: {}\nversion: "x\\U00110000"\n', "line 2, column 14"),
        (HEAD + "tiers: {}\nactions: !!omap [a: 1]\n", "line 3, column 10"),
        (HEAD + "prices: !!omap [a.b: 1, c: 2]\n", "line 2, column 9"),
        (HEAD + "actions: !!omap [1]\n", "line 2, column 18"),
    ],
)
def test_what_the_parser_trips_over_is_told_where_it_stands(document: str, at: str) -> None:
    problems = SETS.look(document).problems
    assert at in [each.facts["place"] for each in problems], [each.text for each in problems]


def test_what_is_not_known_keeps_the_parsers_words_for_what_is_wrong() -> None:
    _, place, problem = told("%YAML 3.0\n---\nversion: '1'\n")
    assert (place, problem) == ("1:1", "found incompatible YAML document (version 1.* is required)")
