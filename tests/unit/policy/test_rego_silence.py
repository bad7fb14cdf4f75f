"""Custom rules that nothing would ever hear: a misspelt head lets everything through, and is never published."""

from collections.abc import Sequence

import pytest

from services.policy.adapters.rego.examining import examine
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import RuleFlaw
from services.policy.domain.rego_silence import idle, silences


def module(name: str, body: str, test: str = "") -> RegoModule:
    tests = f"package provost.rules.{name}_test\n\n{test}\n" if test else ""
    return RegoModule(name, f"package provost.rules.{name}\n\n{body}\n", tests)


def told(*modules: RegoModule) -> Sequence[RuleFlaw]:
    return list(silences(modules))


@pytest.mark.parametrize(
    ("body", "place", "named"),
    [
        ('denied contains "no" if input.action.name == "node.drain"', (3, 1), "`denied`"),
        ('helper := 3\n\nDeny contains "no" if helper == 3', (5, 1), "`Deny`"),
        ('allow if input.action.name == "node.drain"', (3, 1), "`allow`"),
        ("default allow := false\n\nallow if true", (3, 9), "`allow`"),
        ("# nothing but a comment", (1, 1), "no rule"),
        ('denied contains "no" if true\n\ntest_denied if count(denied) == 1', (3, 1), "`denied`"),
    ],
)
def test_a_module_that_says_nothing_is_a_flaw_with_its_place(
    body: str, place: tuple[int, int], named: str
) -> None:
    (flaw,) = told(module("x", body))
    assert (flaw.path, (flaw.line, flaw.column)) == ("rules/0/rego", place)
    assert named in flaw.text
    assert "deny contains msg if" in flaw.text
    assert "approve contains msg if" in flaw.text


def test_a_test_does_not_make_it_heard() -> None:
    test = "import data.provost.rules.x\n\ntest_denied if count(x.denied) == 1"
    (flaw,) = told(module("x", 'denied contains "no" if true', test))
    assert flaw.path == "rules/0/rego"


def test_the_examination_refuses_it() -> None:
    found = examine([module("x", 'denied contains "no" if input.action.name == "node.drain"')])
    assert [(each.path, each.line) for each in found.flaws] == [("rules/0/rego", 3)]


@pytest.mark.parametrize("head", ["denied contains", "denied.here contains", 'denied["here"] contains'])
def test_one_misspelt_rule_beside_a_good_one_is_a_flaw(head: str) -> None:
    (flaw,) = told(module("x", f'deny contains "a" if input.a\n\n{head} "b" if input.b'))
    assert (flaw.line, flaw.column) == (5, 1)
    assert "`denied`" in flaw.text


LIBRARY = module("library", 'busy contains "db-1"\n\nlimit := 3')


@pytest.mark.parametrize(
    "body",
    [
        'deny contains "no" if input.action.target in data.provost.rules.library.busy',
        'deny contains "no" if data.provost.rules["library"].busy["db-1"]',
        'import data.provost.rules.library\n\ndeny contains "no" if library.busy[input.action.target]',
        'import data.provost.rules as all\n\ndeny contains "no" if all.library.busy[input.action.target]',
        'import data.provost.rules.library.busy as b\n\ndeny contains "no" if input.action.target in b',
    ],
)
def test_what_another_rule_reads_is_heard(body: str) -> None:
    assert told(LIBRARY, module("x", body)) == []


@pytest.mark.parametrize(
    "body",
    [
        'deny contains "no" if input.action.target in busy',
        'deny contains "no" if\n  busy[input.action.target]',
        'deny contains "no" if {\n  some host in\n  busy\n}',
        'deny contains "no" if input.action.target ==\nbusy[_]',
    ],
)
def test_what_its_own_module_reads_is_heard(body: str) -> None:
    assert told(module("x", f'busy contains "db-1"\n\n{body}')) == []


@pytest.mark.parametrize("reader", ["import data.provost.rules.library\n\nlimit := library.limit", "a := 1"])
def test_what_only_the_unheard_read_is_not_heard(reader: str) -> None:
    spoken = module("y", 'deny contains "no" if input.a')
    assert {flaw.path for flaw in told(LIBRARY, module("x", reader), spoken)} == {
        "rules/0/rego",
        "rules/1/rego",
    }


def test_an_import_alone_reads_nothing() -> None:
    reader = module("x", 'import data.provost.rules.library\n\ndeny contains "no" if input.a')
    assert [flaw.path for flaw in told(LIBRARY, reader)] == ["rules/0/rego"]


@pytest.mark.parametrize(
    ("body", "column", "named"),
    [
        (
            'deny contains "no" if data.provost.rules.nonexistent.busy',
            23,
            "has no rule nonexistent: it has x",
        ),
        ('deny contains "no" if data.provost.rules.x.bussy', 23, "defines no bussy"),
        ('deny contains "no" if data.provost.rule.x.busy', 23, "nothing but data.provost.rules"),
        ('deny contains "no" if input.n > data.limits.most', 33, "nothing but data.provost.rules"),
        ('deny contains "no" if data.provost.rules.x_test.busy', 23, "has no rule x_test"),
    ],
)
def test_what_nothing_gives_a_value_is_a_flaw_where_it_is_read(body: str, column: int, named: str) -> None:
    (flaw,) = told(module("x", body, "test_it if true"))
    assert (flaw.path, flaw.line, flaw.column) == ("rules/0/rego", 3, column)
    assert named in flaw.text


def test_a_misspelt_import_is_told_once_and_at_the_import() -> None:
    (flaw,) = told(module("x", 'import data.provost.rules.libary\n\ndeny contains "no" if libary.busy["a"]'))
    assert (flaw.line, flaw.column) == (3, 8)


def test_tests_read_rules_that_there_are_and_what_they_make_up() -> None:
    good = "test_it if count(data.provost.rules.x.deny) == 0 with data.limits.most as 4"
    assert told(module("x", 'deny contains "no" if input.a', good)) == []
    silent = "test_it if not data.provost.rules.x.approve"
    assert told(module("x", 'deny contains "no" if input.a', silent)) == []
    (flaw,) = told(module("x", 'deny contains "no" if input.a', "test_it if not data.provost.rules.xx.deny"))
    assert (flaw.path, flaw.line, flaw.column) == ("rules/0/test", 3, 16)


GOOD = 'deny contains "a" if input.a'


@pytest.mark.parametrize(
    ("body", "place", "named"),
    [
        ('denied := "b" if input.b', (5, 1), "`denied`"),
        ('denied = "b" if input.b', (5, 1), "`denied`"),
        ("allow if input.b", (5, 1), "`allow`"),
        ("default allow := false\n\nallow if input.b", (5, 9), "`allow`"),
        ("allow := true if {\n  input.b\n} else := false", (5, 1), "`allow`"),
        ("limits[x] := 3 if some x in input.b", (5, 1), "`limits`"),
        ("busy(host) if host in input.b", (5, 1), "`busy`"),
        ('denied := "b" if input.b\n\ntest_it if denied with input.b as 1', (5, 1), "`denied`"),
    ],
)
def test_one_that_no_rule_reads_beside_a_good_one_is_a_warning_with_its_place(
    body: str, place: tuple[int, int], named: str
) -> None:
    test = "test_it if data.provost.rules.x.denied"
    module_ = module("x", f"{GOOD}\n\n{body}", test if "denied" in body else "")
    assert told(module_) == []
    (warning,) = idle([module_])
    assert (warning.path, warning.line, warning.column) == ("rules/0/rego", *place)
    assert named in warning.text
    assert "changes no decision" in warning.text


@pytest.mark.parametrize(
    "modules",
    [
        [module("x", f'limit := 3\n\n{GOOD}\n\ndeny contains text if {{\n  input.n > limit\n}}\n\ntext := "b"')],
        [module("x", f"{GOOD}\n\ntest_it if true")],
        [module("x", 'approve contains "a" if busy(input.a)\n\nbusy(host) if host in hosts\n\nhosts := {"db-1"}')],
        [LIBRARY, module("x", "import data.provost.rules.library as l\n\ndeny contains l.busy if input.n > l.limit")],
        [LIBRARY, module("x", "import data.provost.rules.library\n\ndeny contains library")],
    ],
)  # fmt: skip
def test_what_rules_read_is_no_warning(modules: list[RegoModule]) -> None:
    assert list(idle(modules)) == []


def test_what_others_could_read_of_a_module_and_do_not_is_a_warning() -> None:
    reader = module("x", "import data.provost.rules.library\n\ndeny contains library.busy")
    (warning,) = idle([LIBRARY, reader])
    assert (warning.path, warning.line, "`limit`" in warning.text) == ("rules/0/rego", 5, True)
