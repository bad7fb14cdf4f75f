"""Checkpoints: numbered, few, and the same one only once."""

import dataclasses

import pytest

from kernel.faults import Fault
from services.state.domain.checkpoints import KEPT, Checkpoints, SaveCheckpoint, decide, evolve
from services.state.domain.labels import ANY_LABEL, Labelling
from services.state.domain.sequenced import Sequenced
from tests.unit.state.worlds import T0, at


def save(step: str = "one", **other: object) -> SaveCheckpoint:
    command = SaveCheckpoint("run-1", "task-1", "alpha", "EXECUTE", step, "", "", (), ANY_LABEL, T0)
    return dataclasses.replace(command, **other)  # type: ignore[arg-type]


def after(*commands: SaveCheckpoint) -> Checkpoints:
    found = Checkpoints()
    for sequence, command in enumerate(commands, 1):
        event = decide(found, command)
        if event is not None:
            found = evolve(found, Sequenced(event, sequence))
    return found


def test_checkpoints_are_numbered_and_the_newest_is_at_hand() -> None:
    newest = after(save("one"), save("two")).newest
    assert newest is not None
    assert (newest.number, newest.step, newest.sequence) == (2, "two", 2)


def test_only_the_newest_are_kept_and_numbers_go_on() -> None:
    found = after(*(save(f"s{n}") for n in range(KEPT + 5)))
    assert [each.number for each in found.kept] == list(range(6, KEPT + 6))


def test_saying_the_same_again_saves_nothing() -> None:
    assert decide(after(save()), save(at=at(9))) is None
    assert decide(after(save(), save("two")), save()) is not None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (save(run_id="a.b"), "MALFORMED_ID"),
        (save(phase=""), "FIELD_INVALID"),
        (save(artifact_sha256="abc"), "FIELD_INVALID"),
        (save(note="x" * 1001), "FIELD_INVALID"),
        (save(labels=("secret",), labelling=Labelling(frozenset(), "7")), "LABEL_UNKNOWN"),
    ],
)
def test_what_is_out_of_bounds_is_refused(command: SaveCheckpoint, expected: str) -> None:
    with pytest.raises(Fault) as caught:
        decide(Checkpoints(), command)
    assert caught.value.reason == expected
