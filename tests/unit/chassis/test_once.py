"""Copies of events that were published past the append guard, for whoever folds without aggregates."""

from chassis.eventlog.headers import Headers, block
from chassis.eventlog.once import Once
from kernel.events import Recorded


def recorded(sequence: int, follows: int | None, agent: str = "a", kind: str = "state.agent") -> Recorded:
    lines = "ce-id: x\r\n" if follows is None else f"ce-id: x\r\nce-prevseq: {follows}\r\n"
    return Recorded(sequence, f"evt.acme.{kind}.{agent}.ErrorRecorded", Headers(block(lines)), b"")


def sequences(once: Once, *events: Recorded) -> list[int]:
    return [each.sequence for each in once.of(events)]


def test_a_copy_is_passed_over_and_what_follows_it_is_not() -> None:
    once = Once()
    # 4 and 5 copy 1 and 3; what was appended next stands behind the last of them; 2 is of an event nobody follows.
    story = [recorded(1, 0), recorded(3, 2), recorded(4, 0), recorded(5, 2), recorded(6, 5), recorded(7, 5)]
    assert sequences(once, *story) == [1, 3, 6]
    assert sequences(once, recorded(8, 0, agent="b"), recorded(9, 6, kind="orchestrator.run")) == [8, 9]


def test_what_is_no_event_is_passed_over_and_what_follows_it_is_not() -> None:
    once, first = Once(), recorded(1, 0)
    answer = Recorded(
        2, first.subject, Headers(b""), b'{"type":"io.nats.jetstream.api.v1.stream_info_response"}'
    )
    twice = Recorded(3, first.subject, Headers(block("ce-id: x\r\nce-id: x\r\n")), b"")
    assert sequences(once, first, answer, twice, recorded(4, 3), recorded(5, 1)) == [1, 4]


def test_what_is_delivered_again_is_no_copy_and_who_names_nothing_is_not_judged() -> None:
    once = Once()
    story = [recorded(1, 0), recorded(2, 1), recorded(3, None), recorded(4, None)]
    for _ in range(2):
        assert sequences(once, *story) == [1, 2, 3, 4]


def test_kinds_that_are_kept_are_kept_for_good_and_of_others_the_latest() -> None:
    once = Once(kept=("state.agent",), most=10)
    for kind in ("state.agent", "orchestrator.run"):
        assert sequences(once, *[recorded(n + 1, 0, f"a{n}", kind) for n in range(50)]) == list(range(1, 51))
    copies = [
        recorded(100 + n, 0, f"a{n}", kind) for kind in ("state.agent", "orchestrator.run") for n in (1, 49)
    ]
    assert sequences(once, *copies) == [101]
    assert len(once._lately) <= 10
