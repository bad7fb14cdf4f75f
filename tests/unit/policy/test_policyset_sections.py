"""What a set may say beside its table: read, refused with its place, compiled, compared."""

import copy
import json
from itertools import product
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from services.policy.domain import policyset_document
from services.policy.domain.action import ENVIRONMENTS
from services.policy.domain.amounts import Unit
from services.policy.domain.counters import MAX_HOSTS_LIMIT
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_diff import differences
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_reading import Problems
from services.policy.domain.policyset_rules import ApprovalRule, Capability, FlowRule, Rules
from services.policy.domain.policyset_warnings import warnings
from services.policy.domain.reservation import BudgetScope
from services.policy.domain.tier import Tier, up_to
from tests.unit.policy.words import DEFAULT, SETS

PLAIN: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe", pure=True).load(SETS.default_document)))


def with_section(text: str) -> str:
    return SETS.default_document.split("# What data a run may have read")[0] + text


def refused(text: str) -> PolicySetInvalid:
    with pytest.raises(PolicySetInvalid) as found:
        SETS.check(with_section(text))
    return found.value


def test_budgets_and_prices_are_read() -> None:
    policy = SETS.check(
        with_section(
            "budgets:\n  - {id: daily, scope: agent, tiers: [T1_OPERATOR], limits: {hosts: 5, money_micros: 7}, "
            "window_seconds: 86400}\nprices:\n  hardware.*: {money_micros: 1000, tokens: 5}\n"
            "publishing: {simulate_days: 7, most_flips: 3}\n"
        )
    )
    (budget,) = policy.rules.budgets
    assert (budget.scope, budget.window_seconds) == (BudgetScope.AGENT, 86400)
    assert dict(budget.limits) == {Unit.HOSTS: 5, Unit.MONEY_MICROS: 7}
    assert policy.rules.prices["hardware.*"].money_micros == 1000
    assert (policy.rules.publishing.simulate_days, policy.rules.publishing.most_flips) == (7, 3)


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ("budgets:\n  - id: b\n    scope: moon\n    limits: {tokens: 1}\n", 3, "moon"),
        ("budgets:\n  - id: b\n    scope: run\n    limits:\n      tokens: -1\n", 5, "must be 0 to"),
        (
            "budgets:\n  - id: b\n    scope: run\n    limits:\n      tokens: 9223372036854775808\n",
            5,
            "must be 0 to",
        ),
        ("budgets:\n  - id: b\n    scope: run\n    limits:\n      tokens: 1.5\n", 5, "whole number"),
        ("budgets:\n  - id: b\n    scope: run\n    limits: {}\n", 4, "at least one of"),
        (
            f"budgets:\n  - id: b\n    scope: run\n    limits:\n      hosts: {MAX_HOSTS_LIMIT + 1}\n",
            5,
            f"must be 0 to {MAX_HOSTS_LIMIT}, not {MAX_HOSTS_LIMIT + 1}",
        ),
        (
            "budgets:\n  - {id: b, scope: run, limits: {tokens: 1}}\n  - {id: b, scope: run, limits: {tokens: 1}}\n",
            3,
            "'b'",
        ),
        ("prices:\n  nothing.here: {tokens: 1}\n", 2, "matches none"),
        ("promotions:\n  - id: p\n    tier: T4_ARCHITECT\n    compliant_in_row: 5\n", 3, "T4_ARCHITECT"),
        (
            "promotions:\n  - id: p\n    tier: T3_EXECUTOR\n    compliant_in_row: 5\n    needs_approval: false\n",
            5,
            "without an approval",
        ),
        ("demotions:\n  - id: d\n    tier: T0_OBSERVER\n    violations: 1\n", 3, "T0_OBSERVER"),
        ("flows:\n  - {id: f, labels: [secret], actions: ['*']}\n", 2, "needs labels"),
        (
            "labels: {secret: s}\nflows:\n  - id: f\n    labels: [other]\n    actions: ['*']\n",
            4,
            "'other' is unknown",
        ),
        ("rules:\n  - id: Bad-Name\n    rego: x\n", 2, "Bad-Name"),
        ("tests:\n  - name: t\n    given: {action: a.b, tier: T9}\n    expect: {verdict: ALLOW}\n", 3, "T9"),
        (
            "tests:\n  - name: t\n    given: {action: a.b, tier: T0_OBSERVER}\n    expect: {verdict: MAYBE}\n",
            4,
            "MAYBE",
        ),
        ("nonsense: 1\n", 1, "nonsense"),
    ],
)
def test_a_mistake_in_a_section_is_named_with_its_line(section: str, line: int, problem: str) -> None:
    fault = refused(section)
    before = with_section("").count("\n")
    assert problem in fault.text
    named = int(fault.facts["place"].split()[1].rstrip(","))
    assert named == before + line, fault.text


def test_hosts_are_limited_as_far_as_they_are_counted() -> None:
    most = with_section(f"budgets: [{{id: b, scope: run, limits: {{hosts: {MAX_HOSTS_LIMIT}}}}}]\n")
    assert SETS.check(most).rules.budgets[0].limits == {Unit.HOSTS: MAX_HOSTS_LIMIT}
    older = most.replace(str(MAX_HOSTS_LIMIT), "100000")
    assert SETS.read(older).rules.budgets, "one that was published before stays in force"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("needs: 3\n    approvers: [key:a, key:b]", "can never say yes"),
        ("approvers: [alice]", "no person's key"),
        ("approvers: [key:a, key:a]", "named twice"),
        ("needs: 0", "must be 1 to 100, not 0"),
        ("ttl_seconds: 1", "must be 60 to 2592000, not 1"),
    ],
)
def test_approval_rules_that_cannot_be_met_are_refused(rule: str, problem: str) -> None:
    document = SETS.default_document.replace("  - id: production\n", f"  - id: production\n    {rule}\n", 1)
    with pytest.raises(PolicySetInvalid, match=problem):
        SETS.check(document)


def test_every_mistake_is_found_not_only_the_first() -> None:
    broken = copy.deepcopy(PLAIN)
    broken["tiers"]["T1_OPERATOR"]["capabilities"][0]["actions"] = ["nobody.*"]
    broken["approvals"][0]["environments"] = ["moon"]
    broken["promotions"][0]["tier"] = "T4_ARCHITECT"
    problems = Problems()
    assert policyset_document.read_all(broken, problems) is None
    assert [each.path for each in problems.found] == [
        "tiers/T1_OPERATOR/capabilities/0/actions/0",
        "approvals/0/environments/0",
        "promotions/0/tier",
    ]


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("*")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            found += places(inner, (*path, n))
    return found


PLACES = places(PLAIN)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), junk)
def test_whatever_stands_anywhere_is_refused_with_its_path_or_compiles(
    place: tuple[Any, ...], value: Any
) -> None:
    document: Any = copy.deepcopy(PLAIN)
    if place:
        inner = document
        for part in place[:-1]:
            inner = inner[part]
        inner[place[-1]] = value
    else:
        document = value
    try:
        policy = policyset_document.read(document)
    except PolicySetInvalid as problem:
        said, path = problem.problem, problem.path
        assert said, path
    else:
        assert isinstance(policy, PolicySet)
        assert policy.row(Tier.T0_OBSERVER, "sandbox", "no.such.action") is None


ACTIONS = ("a.x", "a.y", "b.x", "b.z")
patterns = st.lists(st.sampled_from(["*", "a.*", "*.x", "a.y", "b.z", "b.*"]), min_size=1, max_size=3).map(
    tuple
)
targets = st.lists(st.sampled_from(["*", "db-*", "db-1", "*1", "web", "(w)*"]), min_size=1, max_size=3).map(
    tuple
)
environments = st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=2, unique=True).map(tuple)
tiers = st.lists(st.sampled_from(list(Tier)), min_size=1, max_size=3, unique=True).map(tuple)
capabilities = st.lists(
    st.builds(Capability, st.sampled_from(list(Tier)), patterns, environments, targets), max_size=6
).map(tuple)
approvals = st.lists(st.tuples(tiers, patterns, environments), max_size=4).map(
    lambda rules: tuple(ApprovalRule(f"r{n}", *rule) for n, rule in enumerate(rules))
)
some_labels = st.lists(st.sampled_from(["s", "p", "q"]), min_size=1, max_size=2, unique=True).map(tuple)
labels = st.lists(st.sampled_from(["s", "p", "q"]), max_size=2, unique=True).map(tuple)
flows = st.lists(st.tuples(some_labels, patterns, environments, targets), max_size=5).map(
    lambda rules: tuple(FlowRule(f"f{n}", *rule) for n, rule in enumerate(rules))
)


@settings(max_examples=150, deadline=None)
@given(capabilities, approvals, flows, labels)
def test_what_is_compiled_says_what_the_rules_say(
    can: tuple[Capability, ...],
    asks: tuple[ApprovalRule, ...],
    keeps: tuple[FlowRule, ...],
    carried: tuple[str, ...],
) -> None:
    policy = PolicySet(
        "1", dict.fromkeys(ACTIONS, ""), dict.fromkeys(Tier, 60), can, asks, Rules(flows=keeps)
    )
    for tier, environment, action, target in product(
        Tier, ENVIRONMENTS, ACTIONS, ("db-1", "web", "(w)\n", "x1")
    ):
        may = [
            each
            for each in can
            if each.tier in up_to(tier)
            and environment in each.environments
            and first_match(each.actions, action)
            and first_match(each.targets, target)
        ]
        row = policy.row(tier, environment, action)
        assert bool(may) == (row is not None and any(grant.covers(target) for grant in row.grants))
        if may and row is not None:
            lowest = min(may, key=lambda each: list(Tier).index(each.tier))
            assert next(grant.rule for grant in row.grants if grant.covers(target)) == f"tier.{lowest.tier}"
            asking = [
                f"approval.{each.id}"
                for each in asks
                if tier in each.tiers
                and environment in each.environments
                and first_match(each.actions, action)
            ]
            assert row.approval_rule == (asking[0] if asking else None)
            assert row.approval_rules == tuple(asking), "every rule that fits asks, not only the first"
        assert policy.flow(carried, action, environment, target) == slow_flow(
            policy.rules, carried, action, environment, target
        )


def slow_flow(
    rules: Rules, carried: tuple[str, ...], action: str, environment: str, target: str
) -> FlowRule | None:
    """The first flow rule that forbids this: each is looked at."""
    for rule in rules.flows:
        forbidden = (
            environment in rule.environments
            and not set(rule.labels).isdisjoint(carried)
            and first_match(rule.actions, action) is not None
            and first_match(rule.targets, target) is not None
        )
        if forbidden:
            return rule
    return None


def test_a_set_does_not_differ_from_itself_and_the_default_says_nothing_odd() -> None:
    assert list(differences(DEFAULT, DEFAULT)) == []
    assert list(warnings(DEFAULT)) == []


@pytest.mark.parametrize(
    ("old", "new", "kind", "wider"),
    [
        ("  - id: architect\n    tiers: [T4_ARCHITECT]\n", "", "approval", True),
        ("  - id: production\n", "  - id: production\n    needs: 2\n", "approval", False),
        ("  - id: architect\n", "  - id: two\n    needs: 2\n  - id: architect\n", "approval", False),
        ("  - id: production\n", "  - id: production\n    approvers: [key:a]\n", "approval", False),
        ("compliant_in_row: 20", "compliant_in_row: 5", "promotion", True),
        ("compliant_in_row: 20", "compliant_in_row: 50", "promotion", False),
        ("violations: 3", "violations: 9", "demotion", True),
        ("[network.block_source, hardware.replace]", "[hardware.replace]", "flow", True),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: 600", "ttl", False),
    ],
)  # fmt: skip
def test_whether_a_change_allows_more_is_told(old: str, new: str, kind: str, wider: bool) -> None:
    changed = SETS.default_document.replace(old, new, 1)
    assert changed != SETS.default_document
    found = [each for each in differences(DEFAULT, SETS.read(changed)) if each.kind == kind]
    assert found
    assert {each.wider for each in found} == {wider}, found
    back = [each for each in differences(SETS.read(changed), DEFAULT) if each.kind == kind]
    assert {each.wider for each in back} == {not wider}, back


OBSERVER = "tiers/T0_OBSERVER/capabilities/0"


@pytest.mark.parametrize(
    ("old", "new", "path", "said"),
    [
        ('["diagnostics.*"]', '["diagnostics.*", diagnostics.disk]', f"{OBSERVER}/actions/1", "overlaps"),
        ('["diagnostics.*"]', "[diagnostics.disk]", "actions/diagnostics.memory", "no tier"),
        ("actions: [ansible.check]", "actions: [diagnostics.disk]", "tiers/T1_OPERATOR/capabilities/0", "adds nothing"),
        ("    tiers: [T4_ARCHITECT]\n", "    tiers: [T4_ARCHITECT]\n  - id: late\n", None, ""),
        ("    tiers: [T4_ARCHITECT]\n", "    environments: [production]\n", None, ""),
        ("    tiers: [T4_ARCHITECT]\n", "    tiers: [T0_OBSERVER]\n    actions: [node.drain]\n", "approvals/1", "ask"),
    ],
)  # fmt: skip
def test_what_may_not_be_meant_is_told(old: str, new: str, path: str | None, said: str) -> None:
    changed = SETS.default_document.replace(old, new, 1)
    assert changed != SETS.default_document
    found = dict(warnings(SETS.read(changed)))
    if path is None:
        assert not found
    else:
        assert said in found[path]


def test_a_large_set_is_not_held_against_itself_for_minutes() -> None:
    """Each of 250 capabilities against each other, pattern by pattern: what would take half a minute is cut short."""
    capabilities = "".join(
        "      - actions: [ansible.check]\n        environments: [sandbox]\n        targets: ["
        + ", ".join(f'"h{n}-{k}.*"' for k in range(24))
        + "]\n"
        for n in range(250)
    )
    begin = "  T1_OPERATOR:\n    token_ttl_seconds: 1800\n    capabilities:\n"
    policy = SETS.read(SETS.default_document.replace(begin, begin + capabilities, 1))
    begun = process_time()
    found = dict(warnings(policy))
    assert process_time() - begun < 10, "it takes about one second of CPU"
    assert "too many patterns" in found["tiers"]


def test_how_long_an_agent_may_get_nowhere_is_said_by_the_set() -> None:
    assert DEFAULT.rules.stuck_seconds == 0
    assert SETS.check(with_section("stuck_seconds: 45\n")).rules.stuck_seconds == 45
    assert SETS.check(with_section("labels: {}\n")).rules.labels == {}


def test_a_set_can_name_whatever_something_may_be_labelled_with() -> None:
    assert SETS.check(with_section("labels: {pii.eu-2_x: of people}\n")).rules.labels == {
        "pii.eu-2_x": "of people"
    }
    assert "'.', '_' and '-'" in refused("labels: {.eu: of people}\n").text


@pytest.mark.parametrize("value", ["0", "3601", "-5", "1.5", "soon", "true", "'30'"])
def test_a_patience_that_is_none_is_refused_where_it_stands(value: str) -> None:
    problem = refused(f"stuck_seconds: {value}\n")
    assert problem.path == "stuck_seconds"
    with pytest.raises(PolicySetInvalid, match="stuck_seconds"):
        policyset_document.read(PLAIN | {"stuck_seconds": value})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", []),
        ("", "stuck_seconds: 10\n", [("stuck", "", "after 10 s", True)]),
        ("stuck_seconds: 10\n", "stuck_seconds: 20\n", [("stuck", "after 10 s", "after 20 s", True)]),
        ("stuck_seconds: 20\n", "stuck_seconds: 10\n", [("stuck", "after 20 s", "after 10 s", False)]),
        ("", "labels: {}\n", [("label", "any", "", False)]),
        ("labels: {a: x}\n", "", [("label", "", "any", True), ("label", "a", "", False)]),
        (
            "labels: {a: x}\n",
            "labels: {b: x}\n",
            [("label", "a", "", False), ("label", "", "b", True)],
        ),
        ("labels: {a: x}\n", "labels: {a: otherwise put}\n", []),
    ],
)
def test_labels_and_patience_are_compared(old: str, new: str, told: list[tuple[Any, ...]]) -> None:
    found = differences(SETS.check(with_section(old)), SETS.check(with_section(new)))
    assert [(each.kind, each.before, each.after, each.wider) for each in found] == told


def test_two_of_one_name_are_told_where_the_second_stands_whatever_is_wrong_before() -> None:
    fine = "  - {id: g, labels: [a], actions: ['*']}\n"
    wrong = "  - {id: f, labels: [x], actions: ['*']}\n"
    text = with_section(f"labels: {{a: of some kind}}\nflows:\n{wrong}{fine}{fine}")
    found = {problem.path: problem.facts["place"] for problem in SETS.look(text).problems}
    assert set(found) == {"flows/0/labels/0", "flows/2/id"}
    assert found["flows/2/id"].startswith(f"line {len(text.splitlines())},")


GATE = "publishing: {simulate_days: 7, most_flips: 2}\n"
AT_MOST_TWO = "replaced by what changes at most 2 decisions of 7 days"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (GATE, "", [("publishing", AT_MOST_TWO, "", True)]),
        ("", GATE, [("publishing", "", AT_MOST_TWO, False)]),
        (GATE, "publishing: {simulate_days: 7}\n", [("publishing", AT_MOST_TWO, "", True)]),
        ("publishing: {simulate_days: 7}\n", "publishing: {most_flips: 7}\n", []),
        (GATE, GATE.replace("2", "3"), [("publishing", AT_MOST_TWO, AT_MOST_TWO.replace("2", "3"), True)]),
        (GATE, GATE.replace("7", "6"), [("publishing", AT_MOST_TWO, AT_MOST_TWO.replace("7", "6"), True)]),
        (GATE, GATE.replace("7", "8"), [("publishing", AT_MOST_TWO, AT_MOST_TWO.replace("7", "8"), False)]),
        (
            "prices: {node.drain: {tokens: 9}}\n",
            "prices: {'node.*': {tokens: 5}}\n",
            [("price", "actions 1, tokens 9", "actions 1, tokens 5", True)],
        ),
        (
            "prices: {node.drain: {tokens: 9}}\n",
            "prices: {node.drain: {tokens: 9, money_micros: 1}}\n",
            [("price", "actions 1, tokens 9", "actions 1, tokens 9, money_micros 1", False)],
        ),
        ("prices: {node.drain: {tokens: 9}}\n", "prices: {'node.*': {tokens: 9}}\n", []),
        ("prices: {node.drain: {tokens: 9}}\n", "", [("price", "actions 1, tokens 9", "actions 1", True)]),
        (
            "prices: {node.drain: {tokens: 9}, '*.drain': {tokens: 1}}\n",
            "prices: {'*.drain': {tokens: 1}, node.drain: {tokens: 9}}\n",
            [("price", "actions 1, tokens 9", "actions 1, tokens 1", True)],
        ),
    ],
)
def test_prices_and_what_it_takes_to_replace_a_set_are_compared(
    old: str, new: str, told: list[tuple[Any, ...]]
) -> None:
    found = list(differences(SETS.check(with_section(old)), SETS.check(with_section(new))))
    assert [(each.kind, each.before, each.after, each.wider) for each in found] == told
    assert {each.action for each in found} <= {"node.drain", ""}


@pytest.mark.parametrize(
    ("section", "missing"),
    [
        ("publishing: {most_flips: 0}\n", "simulate_days"),
        ("publishing: {simulate_days: 0, most_flips: 0}\n", "simulate_days"),
        ("publishing: {simulate_days: 7}\n", "most_flips"),
        ("publishing: {}\n", ""),
        (GATE, ""),
    ],
)
def test_a_gate_that_keeps_nothing_out_is_told(section: str, missing: str) -> None:
    found = dict(warnings(SETS.check(with_section(section))))
    assert ("publishing" in found, f"{missing} is needed" in found.get("publishing", "")) == (
        bool(missing), bool(missing),
    )  # fmt: skip
