"""Policy sets: the default, what is refused and where, and how one replaces another."""

import json

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid, PolicySetStale
from services.policy.domain.policyset_published import (
    POLICY_SET,
    PolicySetPublished,
    PublishedSet,
    PublishPolicySet,
)
from services.policy.domain.policyset_rules import RegoModule, Rules
from services.policy.domain.tier import Tier
from tests.unit.house.skeleton import REPOSITORY
from tests.unit.policy.words import AT, DEFAULT, SETS

DOCUMENT = SETS.default_document


def line_of(fragment: str, document: str) -> int:
    return next(n for n, line in enumerate(document.splitlines(), 1) if fragment in line)


def test_the_default_set_has_the_tiers_and_their_token_times() -> None:
    assert DEFAULT.ttl_seconds == {
        Tier.T0_OBSERVER: 3600,
        Tier.T1_OPERATOR: 1800,
        Tier.T2_BUILDER: 1800,
        Tier.T3_EXECUTOR: 900,
        Tier.T4_ARCHITECT: 900,
    }
    assert DEFAULT.version == "1"


def test_reading_what_was_checked_gives_the_same_set() -> None:
    again = SETS.read(DOCUMENT)
    for tier in Tier:
        for environment in ("sandbox", "staging", "production"):
            for action in DEFAULT.actions:
                assert again.row(tier, environment, action) == DEFAULT.row(tier, environment, action)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("token_ttl_seconds: 3600", "token_ttl_seconds: 5", "must be 60 to 86400"),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: soon", "whole number"),
        ('actions: ["diagnostics.*"]', 'actions: ["diagnostic.*"]', "matches none"),
        ('actions: ["diagnostics.*"]', "actions: []", ""),
        ("environments: [sandbox, staging, production]", "environments: [moon]", "moon"),
        ("- id: production", "- id: a b", "a b"),
        ("tiers: [T4_ARCHITECT]", "tiers: [T9]", "T9"),
        ("targets:", "target:", "target"),
        ('version: "1"', "version: 1", "in quotes"),
        ("  diagnostics.disk:", "  diagnostics.memory:", "second time"),
        ("  diagnostics.disk:", "  Disk:", "Disk"),
        ("actions: [ansible.check]", "actions: [ansible.check", ""),
        ("actions: [ansible.check]", "actions: &x [ansible.check]\n        environments: *x", "aliases"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    broken = DOCUMENT.replace(old, new, 1)
    assert broken != DOCUMENT
    with pytest.raises(PolicySetInvalid) as refused:
        SETS.check(broken)
    assert problem.lower() in refused.value.text.lower()
    place = refused.value.facts["place"]
    assert place.startswith("line ")
    named, meant = int(place.split()[1].rstrip(",")), line_of(new.splitlines()[-1].strip(), broken)
    assert abs(named - meant) <= 2, f"{place} is not near line {meant}"


@pytest.mark.parametrize(
    "document",
    [
        "",
        "just text",
        "- a\n- list\n",
        "a: b",
        "!!python/object/apply:os.system ['true']",
        "[" * 5000,
        "{a: " * 5000,
        "x" * 300_000,
        "\x00",
        'version: "1"\nactions: {}\ntiers: {}\n',
        "--- 1\n--- 2\n",
    ],
)
def test_nonsense_never_becomes_a_set(document: str) -> None:
    for load in (SETS.check, SETS.read):
        with pytest.raises(PolicySetInvalid):
            load(document)


def test_a_missing_tier_is_missed() -> None:
    start, end = DOCUMENT.index("  T2_BUILDER"), DOCUMENT.index("  T3_EXECUTOR")
    for load in (SETS.check, SETS.read):
        with pytest.raises(PolicySetInvalid, match="T2_BUILDER"):
            load(DOCUMENT[:start] + DOCUMENT[end:])


def test_targets_limit_a_capability() -> None:
    limited = DOCUMENT.replace('targets: ["*"]', 'targets: ["db-*", web]', 1)
    row = SETS.check(limited).row(Tier.T1_OPERATOR, "sandbox", "diagnostics.disk")
    assert row is not None
    (grant,) = row.grants
    assert grant.covers("db-1")
    assert grant.covers("web")
    assert not grant.covers("web-1")
    assert SETS.check(limited).least_tier("sandbox", "diagnostics.disk", "web-1") is None


def test_an_unknown_tier_is_named_where_it_stands() -> None:
    broken = DOCUMENT.replace("  T3_EXECUTOR:\n", "  T9_GOD:\n", 1)
    with pytest.raises(PolicySetInvalid) as refused:
        SETS.check(broken)
    assert refused.value.facts["path"] == "tiers/T9_GOD"
    named = int(refused.value.facts["place"].split()[1].rstrip(","))
    assert 0 <= named - line_of("T9_GOD", broken) <= 1


def publish(version: str, document: str, replaces: str) -> PublishPolicySet:
    return PublishPolicySet(version, document, replaces, "1", "one", "key:admin", AT)


def test_a_set_replaces_the_one_it_names() -> None:
    first = POLICY_SET.decide(PublishedSet(), publish("2", "two", "1"))
    assert first == PolicySetPublished("2", "two", "key:admin", AT)
    state = POLICY_SET.evolve(PublishedSet(), first)
    assert POLICY_SET.decide(state, publish("2", "two", "1")) is None
    with pytest.raises(PolicySetStale):
        POLICY_SET.decide(state, publish("3", "three", "1"))
    with pytest.raises(PolicySetInvalid):
        POLICY_SET.decide(state, publish("2", "other", "2"))


def test_the_version_of_the_built_in_set_is_used_by_it_though_it_was_never_published() -> None:
    with pytest.raises(PolicySetInvalid, match="published with other rules"):
        POLICY_SET.decide(PublishedSet(), publish("1", "another", "1"))
    state = POLICY_SET.fold([PolicySetPublished("2", "two", "key:admin", AT)])
    with pytest.raises(PolicySetInvalid, match="published with other rules"):
        POLICY_SET.decide(state, publish("1", "another", "2"))
    assert POLICY_SET.decide(state, publish("1", "one", "2")) == PolicySetPublished(
        "1", "one", "key:admin", AT
    )
    older = POLICY_SET.evolve(
        POLICY_SET.fold([PolicySetPublished("1", "another", "key:admin", AT)]),
        PolicySetPublished("2", "two", "key:admin", AT),
    )
    assert POLICY_SET.decide(older, publish("1", "another", "2")) is not None, "as it was published then"


def test_the_published_schema_is_a_schema_and_the_default_set_keeps_to_it() -> None:
    schema = json.loads((REPOSITORY / "services/policy/sets/schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    loaded = YAML(typ="safe", pure=True).load(DOCUMENT)
    assert list(Draft202012Validator(schema).iter_errors(loaded)) == []


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ('deny contains msg if { "secret" in input.run.labels; msg := "no" }', True),
        ('deny contains msg if { "secret" in input["run"]["labels"]; msg := "no" }', True),
        ('deny contains msg if { some part in input.run; "secret" in part; msg := "no" }', True),
        ('import input.run\ndeny contains msg if { "secret" in run.labels; msg := "no" }', True),
        ('deny contains msg if { walk(input, [_, "secret"]); msg := "no" }', True),
        (
            'deny contains msg if { input.run.mode == "AUTO"; input.time.unix_seconds > 1; msg := "no" }',
            False,
        ),
        (
            'deny contains msg if { input.action.name == "node.drain"; not input.packet.scope; msg := "no" }',
            False,
        ),
    ],
)
def test_a_rule_that_may_read_labels_makes_every_yes_wait_for_them(text: str, reads: bool) -> None:
    rules = Rules(rego=(RegoModule("custom", f"package provost.rules.custom\n{text}"),))
    made = PolicySet("1", {"diagnostics.memory": "looks"}, {}, (), (), rules)
    assert made.awaits((), "diagnostics.memory", "sandbox", "localhost") is reads
