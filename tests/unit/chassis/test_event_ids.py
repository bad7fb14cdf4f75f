"""Event ids are UUIDv5: the short way of making them gives what `uuid.uuid5` gives."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from kernel.events import Stream, derived_id

_NAMESPACE = uuid.UUID("6f0b1a52-6c3e-5d0e-9a53-70726f766f73")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_an_id_derived_from_parts_is_their_uuid5(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


def test_an_event_id_says_where_and_why_and_which() -> None:
    expected = str(uuid.uuid5(_NAMESPACE, "acme/policy/agent/a-1/req/3"))
    assert Stream("acme", "policy", "agent", "a-1").event_id("req", 3) == expected
