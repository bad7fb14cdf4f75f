"""Digests of actions: the same action the same digest, any other another."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.digest import action_digest, canonical
from kernel.faults import Invalid

ACTION: dict[str, Any] = {
    "name": "ansible.playbook",
    "target": "localhost",
    "environment": "sandbox",
    "parameters": {"role": "logrotate", "tags": ["a", "b"], "n": 1},
}


def test_a_known_digest_stays() -> None:
    """Approvals given yesterday must fit tomorrow: this value may never change."""
    assert (
        action_digest(**ACTION) == "sha256:0783a86aa31f20f70720d49d314854f820baf80ced8fd0b8fa8aebf2857f5b4b"
    )


def test_every_part_counts() -> None:
    changes: list[dict[str, Any]] = [
        {"name": "ansible.check"},
        {"target": "localhost2"},
        {"environment": "staging"},
        {"parameters": {}},
        {"parameters": {**ACTION["parameters"], "n": 2}},
        {"parameters": {**ACTION["parameters"], "n": "1"}},
        {"parameters": {**ACTION["parameters"], "tags": ["b", "a"]}},
    ]
    digests = [action_digest(**ACTION), *(action_digest(**{**ACTION, **each}) for each in changes)]
    assert len(set(digests)) == len(digests)


def test_order_of_keys_does_not_count() -> None:
    pairs = list(ACTION["parameters"].items())
    digests = {
        action_digest(**{**ACTION, "parameters": dict(each)}) for each in itertools.permutations(pairs)
    }
    assert len(digests) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_two_values_share_a_form_only_if_they_are_equal(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (repr(sort(one)) == repr(sort(other)))


def sort(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return [sort(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800", {"a": object()}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        action_digest(**{**ACTION, "parameters": {"x": value}})
    assert caught.value.reason == "FIELD_INVALID"
