"""The blackboard: versions, compare and set, limits."""

import dataclasses

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel.faults import Fault
from services.state.domain.board import (
    BOARD,
    MAX_BOARD_BYTES,
    MAX_ENTRIES,
    MAX_VALUE_BYTES,
    Board,
    EntryPut,
    PutEntry,
    decide,
    evolve,
)
from services.state.domain.labels import ANY_LABEL, Labelling
from services.state.domain.sequenced import Sequenced
from tests.unit.state.worlds import T0

CREW = frozenset({"alpha", "beta", *"abc"})


def put(
    value: str = '"v"',
    key: str = "analysis",
    expected: int | None = None,
    author: str = "alpha",
    **other: object,
) -> PutEntry:
    command = PutEntry("task-1", "problem", key, value, author, expected, (), ANY_LABEL, CREW, T0)
    return dataclasses.replace(command, **other)  # type: ignore[arg-type]


def after(*commands: PutEntry, board: Board | None = None) -> Board:
    board = board or Board()
    for sequence, command in enumerate(commands, board.sequence + 1):
        event = decide(board, command)
        if event is not None:
            board = evolve(board, Sequenced(event, sequence))
    return board


def reason(board: Board, command: PutEntry) -> str:
    with pytest.raises(Fault) as caught:
        decide(board, command)
    return caught.value.reason


def test_an_entry_has_author_version_and_its_place_in_the_log() -> None:
    board = after(put('"a"'), put('"b"', author="beta"))
    entry = board.entry("problem", "analysis")
    assert entry is not None
    assert (entry.value, entry.author, entry.version, entry.sequence) == ('"b"', "beta", 2, 2)


def test_who_writes_over_what_it_has_not_read_is_refused_and_told_the_version() -> None:
    board = after(put('"a"'), put('"b"'))
    with pytest.raises(Fault) as caught:
        decide(board, put('"c"', expected=1))
    assert (caught.value.reason, caught.value.facts["current_version"]) == ("ENTRY_CHANGED", "2")
    assert reason(board, put('"c"', expected=0)) == "ENTRY_CHANGED"
    assert decide(board, put('"c"', expected=2)) is not None


def test_what_stands_there_already_changes_nothing() -> None:
    board = after(put('"a"', expected=0))
    assert decide(board, put('"a"', expected=1)) is None
    assert decide(board, put('"a"')) is None


def test_two_that_write_the_same_on_the_same_are_two() -> None:
    board = after(put('"a"', expected=0))
    assert reason(board, put('"a"', expected=0)) == "ENTRY_CHANGED"
    assert reason(board, put('"a"', expected=0, author="beta")) == "ENTRY_CHANGED"


def test_an_entry_taken_off_is_gone_and_its_versions_go_on() -> None:
    board = after(put('"a"'), put(""))
    assert board.entry("problem", "analysis") is None
    assert board.n_bytes == 0
    board = after(put('"b"', expected=0), board=board)  # 0: nothing is there
    entry = board.entry("problem", "analysis")
    assert entry is not None
    assert entry.version == 3


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (put(section="rumours"), "FIELD_INVALID"),
        (put(key="no spaces"), "FIELD_INVALID"),
        (put("not json"), "FIELD_INVALID"),
        (put("[" * 5000), "FIELD_INVALID"),
        (put(author="a/b"), "MALFORMED_ID"),
        (put(author="stranger"), "RECIPIENT_UNKNOWN"),
        (put(task_id="a.b"), "MALFORMED_ID"),
        (put(labels=("Secret",)), "FIELD_INVALID"),
        (put(labels=tuple(f"l{n}" for n in range(17))), "FIELD_INVALID"),
        (put(labels=("secret",), labelling=Labelling(frozenset({"personal"}), "7")), "LABEL_UNKNOWN"),
        (put('"' + "x" * MAX_VALUE_BYTES + '"'), "ENTRY_TOO_LARGE"),
    ],
)
def test_what_is_out_of_bounds_is_refused(command: PutEntry, expected: str) -> None:
    assert reason(Board(), command) == expected


@pytest.mark.parametrize(
    "value", ["NaN", "[Infinity]", '{"a": -Infinity}', '"\\ud800"', '"\\uDFFF."', "1" * 5000]
)
def test_what_other_programs_would_not_read_is_no_json(value: str) -> None:
    assert reason(Board(), put(value)) == "FIELD_INVALID"


@pytest.mark.parametrize("value", ['"NaN"', '"\\ud83d\\ude00"', '"\\\\ud800"', "[1e999]", '{"a": 1, "a": 2}'])
def test_what_others_read_is_json(value: str) -> None:
    assert after(put(value)).entry("problem", "analysis") is not None


def test_labels_are_kept_once_and_in_order() -> None:
    board = after(put(labels=("b", "a", "b"), labelling=Labelling(frozenset("ab"), "7")))
    entry = board.entry("problem", "analysis")
    assert entry is not None
    assert entry.labels == ("a", "b")


def test_a_board_holds_so_many_entries_and_so_many_bytes() -> None:
    board = after(*(put(key=f"k{n}") for n in range(MAX_ENTRIES)))
    assert reason(board, put(key="one-more")) == "BOARD_FULL"
    assert decide(board, put('"other"', key="k0")) is not None
    large = '"' + "x" * (MAX_VALUE_BYTES - 2) + '"'
    board = after(*(put(large, key=f"k{n}") for n in range(MAX_BOARD_BYTES // MAX_VALUE_BYTES)))
    assert reason(board, put(key="one-more")) == "BOARD_FULL"
    assert decide(board, put('"small"', key="k0")) is not None


def test_what_was_taken_off_leaves_room_and_its_versions_never_begin_anew() -> None:
    board = after(*(put(key=f"k{n}") for n in range(MAX_ENTRIES)))
    board = after(put('"again"', key="k7"), put("", key="k7"), board=board)
    assert board.entries["problem", "k7"].version == 3
    board = after(put(key="one-more"), board=board)
    assert (board.n_entries, len(board.entries)) == (MAX_ENTRIES, MAX_ENTRIES)
    assert reason(board, put(key="two-more")) == "BOARD_FULL"
    board = after(put("", key="k8"), put(key="k7", expected=0), board=board)
    back = board.entry("problem", "k7")
    assert back is not None
    assert back.version == 4, (
        "who read version 1 of the entry that was there before does not write over this one"
    )
    assert reason(board, put('"old"', key="k7", expected=1)) == "ENTRY_CHANGED"
    for n in range(3 * MAX_ENTRIES):  # keys come and go, and nothing grows
        board = after(put("", key=f"new{n - 1}" if n else "k9"), put(key=f"new{n}"), board=board)
    assert len(board.entries) == MAX_ENTRIES


class NoUpdateIsLost(RuleBasedStateMachine):
    """Writers read, think, and write what they read plus one; each success counts exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.read: dict[str, tuple[int, int]] = {}
        self.written = 0

    def _stands(self) -> tuple[int, int]:
        entry = self.board.entry("progress", "count")
        return (entry.version, int(entry.value)) if entry else (0, 0)

    @rule(writer=st.sampled_from("abc"))
    def reads(self, writer: str) -> None:
        self.read[writer] = self._stands()

    @rule(writer=st.sampled_from("abc"))
    def writes(self, writer: str) -> None:
        if writer not in self.read:
            return
        version, count = self.read.pop(writer)
        command = put(str(count + 1), "count", version, writer, section="progress")
        if version != self._stands()[0]:
            assert reason(self.board, command) == "ENTRY_CHANGED"
            return
        event = decide(self.board, command)
        assert event is not None
        self.board = evolve(self.board, Sequenced(event, self.board.sequence + 1))
        self.written += 1

    @invariant()
    def every_write_counts(self) -> None:
        assert self._stands() == (self.written, self.written)


TestNoUpdateIsLost = NoUpdateIsLost.TestCase


def test_the_fold_of_the_log_is_the_board() -> None:
    events = [EntryPut(event.entry) for event in (decide(Board(), put(key=key)) for key in "abc") if event]
    assert set(BOARD.fold(events).entries) == {("problem", key) for key in "abc"}
