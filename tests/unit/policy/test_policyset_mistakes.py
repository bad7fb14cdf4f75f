"""What the schema refuses is told in plain words, each mistake by itself, where it stands."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.policy.adapters.policyset_schema import IN_WORDS, PATTERNS
from tests.unit.policy.words import SETS

DOCUMENT = SETS.default_document
TIERS = "T0_OBSERVER, T1_OPERATOR, T2_BUILDER, T3_EXECUTOR, T4_ARCHITECT"


def told(document: str) -> list[tuple[str, str, str]]:
    """For each problem what stands where it is told, its path, and its text."""
    lines = document.splitlines()
    found = []
    for problem in SETS.look(document).problems:
        place = re.fullmatch(r"line (\d+), column (\d+)", problem.facts["place"])
        assert place is not None, problem.text
        stands = lines[int(place[1]) - 1][int(place[2]) - 1 :] if lines else ""
        found.append((stands, problem.path, problem.problem))
    return found


def test_an_unknown_tier_is_told_at_its_name_with_the_tiers_that_there_are() -> None:
    document = DOCUMENT.replace("  T4_ARCHITECT:\n", "  T9_GOD: {}\n  T4_ARCHITECT:\n", 1)
    assert told(document) == [("T9_GOD: {}", "tiers/T9_GOD", f"'T9_GOD' is unknown; known are {TIERS}")]


def test_of_a_tier_renamed_the_new_name_is_told_first_and_then_what_is_missing() -> None:
    first, second = told(DOCUMENT.replace("  T3_EXECUTOR:\n", "  T9_GOD:\n", 1))
    assert first == ("T9_GOD:", "tiers/T9_GOD", f"'T9_GOD' is unknown; known are {TIERS}")
    assert second[1:] == ("tiers", "T3_EXECUTOR is missing")


def test_each_stranger_has_a_problem_and_a_place_of_its_own() -> None:
    document = DOCUMENT + "frobs: 1\nmore:\n  deep: 2\n"
    assert [(stands, path) for stands, path, _ in told(document)] == [
        ("frobs: 1", "frobs"),
        ("more:", "more"),
    ]
    assert all("known are version, actions, tiers, approvals" in text for _, _, text in told(document))


def test_strangers_in_a_list_in_braces_and_those_that_are_no_texts() -> None:
    document = DOCUMENT + "prices:\n  '*': {tokens: 1, 5: 2, hosts: 3, true: 4}\n"
    assert [(stands[:4], path) for stands, path, _ in told(document)] == [
        ("5: 2", "prices/*/5"),
        ("host", "prices/*/hosts"),
        ("true", "prices/*/True"),
    ]


def test_a_name_that_is_none_is_told_where_it_stands() -> None:
    ((stands, path, text),) = told(DOCUMENT.replace("  diagnostics.disk:", "  Disk:", 1))
    assert stands.startswith("Disk:")
    assert (path, text) == ("actions/Disk", "'Disk' must be a name like 'service.restart'")


@pytest.mark.parametrize("document", ["", "\n\n", "# nothing yet\n", "---\n"])
def test_a_document_with_nothing_in_it_says_so(document: str) -> None:
    ((_, path, text),) = told(document)
    assert path == ""
    assert text == (
        "there is nothing in it: a set has version, actions and tiers; `provost policy show` has one to begin with"
    )


@pytest.mark.parametrize(
    ("old", "new", "at", "text"),
    [
        ('version: "1"', "version: 2", "2", "must be a text, not 2: put it in quotes"),
        ('version: "1"', "version: 2026-01-01", "2026", "must be a text, not 2026-01-01: put it in quotes"),
        ('version: "1"', "version: [a]", "[a]", "must be a text, not a list"),
        ('version: "1"', "version:", "", "must be a text, and there is nothing"),
        ('version: "1"', 'version: "a b"', '"a b"', "'a b' must be 1 to 64 letters, digits, '.', '_' and '-'"),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: 5", "5", "must be 60 to 86400, not 5"),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: 86401", "86401", "must be 60 to 86400, not 86401"),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: soon", "soon", "must be a whole number, not 'soon'"),
        ("token_ttl_seconds: 3600", "token_ttl_seconds: 1.5", "1.5", "must be a whole number, not 1.5"),
        ('actions: ["diagnostics.*"]', "actions: []", "[]", "must not be empty"),
        ('actions: ["diagnostics.*"]', "actions: diagnostics.*", "diag", "must be a list, not 'diagnostics.*'"),
        ('actions: ["diagnostics.*"]', 'actions: [""]', '""', "must not be empty"),
        ("tiers: [T4_ARCHITECT]", "tiers: [T9]", "T9", f"'T9' is unknown; known are {TIERS}"),
        ("- id: production", "- id: production\n    approvers: [key:a, ann]", "ann",
         "'ann' is no person's key, as 'key:alice' is"),
        ("- id: production", "- id: production\n    approvers: [key:a, key:b, key:a]", "key:a]",
         "'key:a' is named twice"),
        ("- id: production", "- id: production\n    approvers: ['key:" + "x" * 97 + "']", "'key:",
         "has 101 characters, and may have 100"),
        ("- id: production", "- id: production\n    needs: 0", "0", "must be 1 to 100, not 0"),
        ("- id: architect", "- id: " + "x" * 65, "xxx", "must be 1 to 64 letters"),
        ("- id: architect", "- ttl_seconds: 60", "ttl_seconds", "id is missing"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_in_plain_words(old: str, new: str, at: str, text: str) -> None:
    assert old in DOCUMENT
    ((stands, _, said),) = told(DOCUMENT.replace(old, new, 1))
    assert stands.startswith(at)
    assert text in said


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        ("labels: {" + ", ".join(f"l{n}: x" for n in range(101)) + "}", "has 101 entries, and may have 100"),
        ("labels: {a: " + "x" * 501 + "}", "has 501 characters, and may have 500"),
        ("labels: 3", "must be a mapping, not 3"),
        ("budgets: [{id: b, scope: run, limits: {}}]", "must name at least one of actions, tokens"),
        ("promotions: [{id: p, tier: T0_OBSERVER, compliant_in_row: 1, needs_approval: 'no'}]",
         "must be true or false, not 'no'"),
        ("rules: [" + ", ".join(f"{{id: r{n}, rego: x}}" for n in range(101)) + "]",
         "has 101 entries, and may have 100"),
        ("rules: [{id: quiet_test, rego: x}]", "small letters, digits and '_', and not end in '_test'"),
        ("promotions: [{id: p, tier: T3_EXECUTOR, compliant_in_row: 1, needs_approval: false}]",
         "must be true: nobody becomes T4_ARCHITECT without an approval"),
        ("flows: [{id: f, labels: [a], actions: ['*']}]",
         "has 1 entries, and may have 0: needs labels: name them under labels, each with a description"),
        ("prices: {'': {tokens: 1}}", "must not be empty"),
        ("rules: [{id: A, rego: x}]", "'A' must be a small letter, and then at most 63"),
    ],
)  # fmt: skip
def test_limits_are_told_in_plain_words(tail: str, text: str) -> None:
    document = (
        DOCUMENT.replace("\nlabels:", "\n#labels:")
        .replace("\n  secret:", "\n#")
        .replace("\n  personal:", "\n#")
    )
    document = re.sub(r"(?ms)^#labels:.*", "", document)
    ((_, _, said),) = told(f"{document}\n{tail}\n")
    assert text in said


def with_parameters(parameters: str) -> str:
    given = f"given: {{action: diagnostics.disk, tier: T0_OBSERVER, parameters: {parameters}}}"
    return DOCUMENT + f"  - {{name: empty, {given}, expect: {{verdict: ALLOW}}}}\n"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ("{path: ''}", ""),
        ("{path: " + "x" * 10_000 + "}", ""),
        ("{path: " + "x" * 10_001 + "}", "has 10001 characters, and may have 10000"),
        ("{'': x}", "must not be empty"),
    ],
)
def test_a_test_has_the_parameters_that_an_action_may_have(parameters: str, text: str) -> None:
    assert [said for _, _, said in told(with_parameters(parameters))] == ([text] if text else [])


def test_flows_that_are_none_need_no_labels() -> None:
    document = re.sub(r"(?ms)^labels:.*?^flows:.*?^(?=#)", "flows: []\n", DOCUMENT)
    assert "\nlabels:" not in document
    assert told(document.split("\n# What this set must say")[0] + "\n") == []


def keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Everything that the schema demands anywhere."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in {"properties", "$defs"}:
                for each in value.values():
                    yield from keywords(each)
            else:
                yield key, value
                yield from keywords(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from keywords(each)


def test_whatever_the_schema_can_demand_has_words() -> None:
    says_nothing = {
        "$schema",
        "title",
        "description",
        "$comment",
        "$ref",
        "items",
        "propertyNames",
        "if",
        "then",
        "not",
    }
    demanded = list(keywords(json.loads(SETS.schema)))
    assert {key for key, _ in demanded} - says_nothing == set(IN_WORDS)
    assert {value for key, value in demanded if key == "pattern"} == set(PATTERNS)


def test_only_so_many_are_told() -> None:
    document = DOCUMENT + "".join(f"stranger{n}: 1\n" for n in range(500))
    assert len(SETS.look(document).problems) == 100
