"""Who is stuck, and who is merely slow, waiting, or persistent."""

import pytest

from services.state.domain.signs import Beat, Did, Left, Moved, Said, Sign, Waits, Works
from services.state.domain.stuck import STOOD, Judged, Kind, Watch
from tests.bench.stuck import TARGET, score_of
from tests.truth.histories import HISTORIES, LOOKED_AT


def told(*signs: Sign) -> Watch:
    watch = Watch()
    for sign in signs:
        watch.take(sign)
    return watch


def beats(until: float, agent_id: str = "a") -> list[Sign]:
    return [Beat(at, agent_id) for at in range(5, int(until) + 1, 5)]


def kind(stuck: Judged | None) -> Kind | None:
    return None if stuck is None else stuck.kind


def test_silence_is_no_heartbeat_after_the_threshold_and_not_before() -> None:
    watch = told(Works(0, "a"), Beat(5, "a"))
    assert watch.judge("a", 30) is None
    stuck = watch.judge("a", 36)
    assert stuck is not None
    assert (stuck.kind, stuck.since) == (Kind.NO_HEARTBEAT, 5)


def test_heartbeats_alone_are_no_progress() -> None:
    watch = told(Works(0, "a"), *beats(40))
    assert kind(watch.judge("a", 30)) is None
    assert kind(watch.judge("a", 40)) is Kind.NO_PROGRESS


def test_a_change_of_state_is_progress() -> None:
    watch = told(Works(0, "a"), *beats(40), Moved(38, "a"))
    assert watch.judge("a", 40) is None


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_same_steps_with_the_same_outcomes_are_a_repetition(rounds: int) -> None:
    signs: list[Sign] = [Did(at, "a", f"step-{at % rounds}", "refused") for at in range(40)]
    stuck = told(Works(0, "a"), *signs).judge("a", 40)
    assert stuck is not None
    assert stuck.kind is Kind.REPETITION
    assert "'refused'" in stuck.evidence


def test_the_same_step_with_another_outcome_each_time_is_work() -> None:
    signs: list[Sign] = [Did(at, "a", "next", f"page-{at}") for at in range(120)]
    assert told(Works(0, "a"), *signs).judge("a", 120) is None


def test_after_a_change_of_state_the_same_step_may_be_done_again() -> None:
    watch = told(Works(0, "a"))
    for at in range(120):
        watch.take(Did(at, "a", "test", "failed"))
        if at % 20 == 0:
            watch.take(Moved(at, "a"))
        assert watch.judge("a", at) is None


@pytest.mark.parametrize("until", [None, 4000.0])
def test_who_waits_as_declared_is_not_stuck_even_without_a_heartbeat(until: float | None) -> None:
    assert told(Works(0, "a"), Waits(10, "a", until)).judge("a", 3600) is None


def test_a_declared_poll_may_repeat_itself_until_its_time_is_over() -> None:
    watch = told(Works(0, "a"), Waits(1, "a", 100))
    for at in range(2, 160):
        watch.take(Did(at, "a", "poll", "pending"))
        assert kind(watch.judge("a", at)) is (Kind.REPETITION if at > 130 else None)


def test_who_has_its_answer_and_does_not_go_on_is_stuck() -> None:
    watch = told(Works(0, "a"), Waits(1, "a"), *beats(200), Works(100, "a"))
    assert watch.judge("a", 130) is None
    assert kind(watch.judge("a", 131)) is Kind.NO_PROGRESS


def test_to_go_back_and_forth_is_no_progress_and_to_come_somewhere_new_is() -> None:
    watch = told(Works(0, "a"))
    for at in range(40):
        watch.take(Moved(at, "a", ("try", "check")[at % 2]))
        watch.take(Did(at, "a", "deploy", "refused"))
    assert kind(watch.judge("a", 40)) is Kind.REPETITION
    watch.take(Moved(40, "a", "ask"))
    assert watch.judge("a", 41) is None


def test_a_place_is_known_again_until_it_stood_in_very_many_others() -> None:
    watch = told(Works(0, "a"), *(Moved(n, "a", f"step-{n}") for n in range(STOOD)))
    watch.take(Moved(1000, "a", "step-0"))
    assert watch.progressed("a") == STOOD - 1
    watch.take(Moved(1001, "a", "one more"))  # step-1 is let go for it
    watch.take(Moved(1002, "a", "step-0"))
    assert watch.progressed("a") == 1001
    watch.take(Moved(1003, "a", "step-1"))
    assert watch.progressed("a") == 1003


@pytest.mark.parametrize("acts", [True, False])
def test_to_wait_for_the_same_again_and_again_is_no_progress(acts: bool) -> None:
    watch = told(Works(0, "a"))
    for at in range(0, 100, 2):
        if acts:
            watch.take(Did(at, "a", "deploy", "refused"))
        watch.take(Waits(at, "a", None, "answer"))
        assert watch.judge("a", at) is None, "it waits"
        watch.take(Works(at + 1, "a"))
        if at < 58:
            assert watch.judge("a", at + 1) is None, "time that it waited is not held against it"
    assert kind(watch.judge("a", 100)) is (Kind.REPETITION if acts else Kind.NO_PROGRESS)


def test_who_waits_for_one_person_after_another_is_not_stuck() -> None:
    watch = told(Works(0, "a"))
    for at in range(0, 6000, 600):
        watch.take(Waits(at, "a", None, f"approval-{at}"))
        assert watch.judge("a", at + 590) is None
        watch.take(Works(at + 590, "a"))
        assert watch.judge("a", at + 600) is None


def test_who_waits_long_for_the_same_gate_between_different_steps_is_not_stuck() -> None:
    watch = told(Works(0, "a"))
    for at in range(0, 6000, 600):
        watch.take(Did(at, "a", "edit", f"diff {at}"))
        watch.take(Waits(at + 10, "a", None, "gate tests"))
        assert watch.judge("a", at + 580) is None
        watch.take(Works(at + 580, "a"))
        for late in (581, 599):
            assert watch.judge("a", at + late) is None


def test_a_poll_that_is_prolonged_in_time_is_one_wait() -> None:
    watch = told(Works(0, "a"))
    for at in range(0, 600, 10):
        watch.take(Waits(at, "a", at + 30, "poll effect"))
        watch.take(Did(at, "a", "poll", "pending"))
        assert watch.judge("a", at + 9) is None
    watch.take(Works(600, "a"))
    assert watch.judge("a", 629) is None


def circling(said: str) -> Watch:
    watch = told(Works(0, "a"), Works(0, "b"))
    for at in range(1, 50, 2):
        watch.take(Said(at, "a", "b", said.format(at)))
        watch.take(Said(at + 1, "b", "a", said.format(at)))
    return watch


def test_two_who_answer_each_other_with_the_same_words_are_a_circle_and_name_each_other() -> None:
    watch = circling("after you")
    for agent_id, other in ("ab", "ba"):
        stuck = watch.judge(agent_id, 50)
        assert stuck is not None
        assert (stuck.kind, stuck.with_agent_ids) == (Kind.CIRCLE, (other,))


def test_two_who_say_something_new_each_time_are_not() -> None:
    watch = circling("point {}")
    assert (watch.judge("a", 50), watch.judge("b", 50)) == (None, None)


def test_who_has_left_is_not_watched() -> None:
    watch = told(Works(0, "a"), Left(5, "a"))
    assert watch.judge("a", 1000) is None
    assert watch.agents() == ()


@pytest.mark.parametrize("seeds", [range(LOOKED_AT), range(LOOKED_AT, HISTORIES)])
def test_told_from_the_slow_and_the_waiting_on_generated_histories(seeds: range) -> None:
    score = score_of(seeds)
    assert score.precision >= TARGET, score.wrong
    assert score.recall >= TARGET, score.wrong
