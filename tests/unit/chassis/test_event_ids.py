"""Event ids are UUIDv5: the short way of making them gives what `uuid.uuid5` gives."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from kernel.events import Cause, Stream, derived_id

_NAMESPACE = uuid.UUID("6f0b1a52-6c3e-5d0e-9a53-70726f766f73")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_an_id_derived_from_parts_is_their_uuid5(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


def test_an_event_id_says_where_and_why_and_which() -> None:
    expected = str(uuid.uuid5(_NAMESPACE, "acme/policy/agent/a-1/req/3"))
    assert Stream("acme", "policy", "agent", "a-1").event_id("req", 3) == expected


class Open: ...


class Shut: ...


CAUSE = Cause("acme", "r1", "key:ann", datetime(2026, 3, 1, tzinfo=UTC), "run", "event", "trace")
ACTORS = st.from_regex(r"(key|agent|service):[\x21-\x7e]{1,8}", fullmatch=True)
REQUESTS = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
ASKED = st.tuples(st.sampled_from([Open, Shut]), ACTORS, REQUESTS, st.integers(0, 20))


def test_what_a_command_causes_says_who_asked_for_what() -> None:
    expected = str(uuid.uuid5(_NAMESPACE, "acme/policy/agent/a-1/Open/key:ann/r1/0"))
    asking = CAUSE.asking(Open)
    assert Stream("acme", "policy", "agent", "a-1").event_id(asking.request_id) == expected
    assert replace(asking, request_id="r1") == CAUSE, "and the rest is as it was"


def test_a_step_is_the_same_whoever_takes_it_over() -> None:
    step = replace(CAUSE, asker="service:policy")
    taken_over = replace(step, actor="service:policy")
    assert step.asking(Open).request_id == taken_over.asking(Open).request_id
    assert step.asking(Open).actor == "key:ann", "who it was is told as it is"


WHAT = st.lists(st.text(), max_size=3)


@given(st.tuples(REQUESTS, WHAT), st.tuples(REQUESTS, WHAT))
def test_a_request_for_one_thing_does_not_pass_for_the_same_of_another(
    one: tuple[str, list[str]], other: tuple[str, list[str]]
) -> None:
    first, second = (replace(CAUSE, request_id=request_id).about(*what) for request_id, what in (one, other))
    assert (first.request_id == second.request_id) == (one == other)
    assert replace(first, request_id="r1") == CAUSE, "and the rest is as it was"


@given(ASKED, ASKED)
def test_no_request_passes_for_another(
    one: tuple[type[object], str, str, int], other: tuple[type[object], str, str, int]
) -> None:
    def named(command: type[object], actor: str, request_id: str, n: int) -> str:
        asking = replace(CAUSE, actor=actor, request_id=request_id).asking(command)
        return Stream("acme", "policy", "agent", "a-1").event_id(asking.request_id, n)

    assert (named(*one) == named(*other)) == (one == other)
