"""A list that only grows: its versions share what they have in common, and none sees what came behind it."""

import pickle
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.state.domain.documents import Listing, documents
from services.state.domain.growing import Growing
from services.state.domain.task import Artifact, ArtifactStored
from services.state.domain.view import Part, Place, View
from tests.unit.state.worlds import T0, artifact


def named(name: str) -> Artifact:
    return artifact(name=name)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abcd"))))
def test_every_version_is_the_list_that_it_was_whoever_goes_on_from_it(steps: list[tuple[int, str]]) -> None:
    versions: list[tuple[Growing[Artifact], list[Artifact]]] = [(Growing(), [])]
    for which, name in steps:
        before, expected = versions[which % len(versions)]
        one = named(name)
        versions.append((before.with_(one), [*expected, one]))
    for version, expected in versions:
        assert list(version) == list(version[:]) == expected
        assert (len(version), version[-2:]) == (len(expected), tuple(expected[-2:]))
        for name in "abcd":
            first = next((each for each in expected if each.name == name), None)
            assert version.find(named(name)) == first
        assert version == Growing(expected) == pickle.loads(pickle.dumps(version))
        assert version != Growing([*expected, named("z")])


def test_the_first_of_two_that_are_the_same_is_found() -> None:

    first, again = named("a"), replace(named("a"), at=T0 + timedelta(1))
    both = Growing[Artifact]().with_(first).with_(again)
    assert both.find(again) == first


def test_one_more_artifact_costs_the_same_however_many_a_task_has() -> None:
    def lines(view: View, n: int) -> int:
        """How many lines of Python are run for one more, as the fold and the store take it."""
        count = 0

        def trace(*_: Any) -> Any:
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            view.take("default", "task-1", ArtifactStored(named(f"{n}")), n)
            documents(view, [Place("default", "task-1", Part.ARTIFACTS)])
        finally:
            sys.settrace(before)
        return count

    view, few = View(), 0
    for n in range(1, 5001):
        view.take("default", "task-1", ArtifactStored(named(f"{n}")), n)
        if n == 50:
            few = lines(view, 51)
    assert lines(view, 5001) <= few * 1.1
    (document,) = documents(view, [Place("default", "task-1", Part.ARTIFACTS)])
    assert isinstance(document.content, Listing)
    assert (document.content.offset, len(document.content.items)) == (5001 - 32, 32)
