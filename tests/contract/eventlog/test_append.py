"""Writing to the log: what `kernel.ports.EventLog.append` promises, for both adapters."""

import asyncio

import pytest

from kernel.events import Appended, Head, Stream
from kernel.faults import AppendConflict, Conflict, Exhausted, Invalid, Unavailable
from tests.contract.eventlog.subject import Subject
from tests.contract.eventlog.words import AT, ONE, SOURCE, TWO, Int64Value, StringValue, cause, words

NEW = Head()


async def test_an_event_is_kept_as_it_was_written(subject: Subject) -> None:
    appended = await subject.log.append(ONE, [StringValue("hello")], after=NEW, cause=cause("r1"))
    assert appended == Appended(1, (ONE.event_id("r1"),))
    (kept,) = await subject.log.load(ONE)
    assert (kept.sequence, kept.subject, kept.stream) == (1, "evt.acme.policy.agent.one.StringValue", ONE)
    assert words([kept]) == ["hello"]
    expected = {
        "ce-specversion": "1.0",
        "ce-id": ONE.event_id("r1"),
        "Nats-Msg-Id": ONE.event_id("r1"),
        "ce-type": "google.protobuf.StringValue",
        "ce-source": SOURCE,
        "ce-time": "2026-03-01T12:00:00.000250Z",
        "ce-subject": "agent/one",
        "ce-datacontenttype": "application/protobuf",
        "ce-aggver": "1",
        "ce-prevseq": "0",
        "ce-correlationid": "run-1",
        "ce-causationid": "cause-1",
        "ce-actor": "key:test",
    }
    assert expected.items() <= dict(kept.headers).items()
    assert AT.isoformat(timespec="microseconds").removesuffix("+00:00") in kept.headers["ce-time"]


async def test_each_event_names_the_one_before_it(subject: Subject) -> None:
    await subject.log.append(TWO, [StringValue("elsewhere")], after=NEW, cause=cause("r0"))
    first = await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    await subject.log.append(ONE, [StringValue("b")], after=Head(first.sequence, 1), cause=cause("r2"))
    kept = await subject.log.load(ONE)
    assert [(each.headers["ce-aggver"], each.headers["ce-prevseq"]) for each in kept] == [
        ("1", "0"),
        ("2", "2"),
    ]
    assert await subject.log.last_sequence() == 3


async def test_another_last_event_than_expected_is_a_conflict(subject: Subject) -> None:
    await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    for wrong in (NEW, Head(7, 1)):
        with pytest.raises(AppendConflict) as caught:
            await subject.log.append(ONE, [StringValue("b")], after=wrong, cause=cause("r2"))
        assert caught.value.facts["actual_sequence"] == "1"
    assert words(await subject.log.load(ONE)) == ["a"]


async def test_aggregates_and_tenants_do_not_stand_in_each_others_way(subject: Subject) -> None:
    places = [ONE, TWO, Stream("other", "policy", "agent", "one"), Stream("acme", "state", "agent", "one")]
    for place in places:
        await subject.log.append(place, [StringValue(place.tenant)], after=NEW, cause=cause("r1"))
    assert [len(await subject.log.load(place)) for place in places] == [1, 1, 1, 1]
    assert await subject.log.last_sequence() == 4


async def test_two_writers_race_and_one_wins(subject: Subject) -> None:
    outcomes = await asyncio.gather(
        *(
            log.append(ONE, [StringValue(f"{n}")], after=NEW, cause=cause(f"r{n}"))
            for n, log in enumerate([subject.log, subject.other] * 5)
        ),
        return_exceptions=True,
    )
    won = [each for each in outcomes if isinstance(each, Appended)]
    assert (len(won), sum(isinstance(each, AppendConflict) for each in outcomes)) == (1, 9)
    assert len(await subject.log.load(ONE)) == 1


async def test_after_a_lost_answer_it_is_written_once(subject: Subject) -> None:
    before = await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    answer = await subject.append_losing_the_answer(ONE, [StringValue("b")], Head(1, 1), cause("r2"))
    assert answer == Appended(2, (ONE.event_id("r2"),), duplicate=True)
    assert before.sequence == 1
    assert words(await subject.log.load(ONE)) == ["a", "b"]


async def test_after_a_lost_answer_ours_is_found_behind_what_others_wrote_since(subject: Subject) -> None:
    async def others() -> None:
        await subject.other.append(TWO, [StringValue("x")], after=NEW, cause=cause("r7"))
        await subject.other.append(ONE, [StringValue("b")], after=Head(1, 1), cause=cause("r8"))
        await subject.other.append(
            ONE, [StringValue("c"), StringValue("d")], after=Head(3, 2), cause=cause("r9")
        )

    answer = await subject.append_losing_the_answer(ONE, [StringValue("a")], NEW, cause("r1"), others)
    assert answer == Appended(1, (ONE.event_id("r1"),), duplicate=True)
    assert words(await subject.log.load(ONE)) == ["a", "b", "c", "d"]


async def test_several_events_are_written_together(subject: Subject) -> None:
    several = [StringValue("a"), Int64Value(2), StringValue("c")]
    appended = await subject.log.append(ONE, several, after=NEW, cause=cause("r1"))
    assert appended == Appended(3, tuple(ONE.event_id("r1", n) for n in range(3)))
    kept = await subject.log.load(ONE)
    assert words(kept) == ["a", 2, "c"]
    assert [each.headers["ce-aggver"] for each in kept] == ["1", "2", "3"]


async def test_of_several_events_all_are_written_or_none(subject: Subject) -> None:
    await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    with pytest.raises(AppendConflict):
        await subject.log.append(ONE, [StringValue("b"), StringValue("c")], after=NEW, cause=cause("r2"))
    assert words(await subject.log.load(ONE)) == ["a"]
    assert await subject.log.last_sequence() == 1


async def test_several_events_whose_answer_was_lost_are_written_once(subject: Subject) -> None:
    several = [StringValue("a"), StringValue("b"), StringValue("c")]
    answer = await subject.append_losing_the_answer(ONE, several, NEW, cause("r1"))
    assert answer == Appended(3, tuple(ONE.event_id("r1", n) for n in range(3)), duplicate=True)
    assert words(await subject.log.load(ONE)) == ["a", "b", "c"]


@pytest.mark.parametrize("several", [1, 2])
async def test_the_same_request_again_is_answered_as_before(subject: Subject, several: int) -> None:
    said = [StringValue(f"{n}") for n in range(several)]
    first = await subject.log.append(ONE, said, after=NEW, cause=cause("r1"))
    again = await subject.log.append(ONE, said, after=NEW, cause=cause("r1"))
    later = await subject.log.append(ONE, said, after=Head(several, several), cause=cause("r1"))
    assert again == later == Appended(first.sequence, first.event_ids, duplicate=True)
    assert await subject.log.last_sequence() == several


async def test_a_duplicate_is_recognised_when_its_id_is_forgotten(subject: Subject) -> None:
    first = await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    await subject.forget_ids()
    again = await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    assert again == Appended(first.sequence, first.event_ids, duplicate=True)
    assert len(await subject.log.load(ONE)) == 1


@pytest.mark.parametrize("bad", ["a.b", "*", ">", "", "a b", "a\r\nPUB x 0", "ü", "x" * 129])
async def test_a_name_that_its_filter_would_not_cover_is_refused(subject: Subject, bad: str) -> None:
    for stream in (Stream("acme", "policy", "agent", bad), Stream(bad, "policy", "agent", "one")):
        with pytest.raises(Invalid, match="not an event subject"):
            await subject.log.append(stream, [StringValue("a")], after=NEW, cause=cause("r1"))
    assert await subject.log.last_sequence() == 0


async def test_what_a_caller_says_cannot_add_a_header(subject: Subject) -> None:
    actor = 'key:x\r\nce-actor: key:admin\r\n\r\n"100%" ü \x1b[2J'
    await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1", actor))
    (kept,) = await subject.log.load(ONE)
    assert kept.headers["ce-actor"] == actor
    assert list(kept.headers).count("ce-actor") == 1


async def test_an_event_that_is_too_large_is_refused_before_it_is_sent(subject: Subject) -> None:
    with pytest.raises(Exhausted) as caught:
        await subject.log.append(ONE, [StringValue("x" * 2**20)], after=NEW, cause=cause("r1"))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
    assert await subject.log.last_sequence() == 0


async def test_a_full_log_says_so(subject: Subject) -> None:
    await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    await subject.fill()
    for several in (1, 3):
        with pytest.raises(Exhausted) as caught:
            await subject.log.append(ONE, [StringValue("b")] * several, after=Head(1, 1), cause=cause("r2"))
        assert caught.value.reason == "LOG_FULL"
    assert words(await subject.log.load(ONE)) == ["a"]


async def test_nobody_who_answers_is_unavailable(subject: Subject) -> None:
    await subject.be_unreachable()
    with pytest.raises(Unavailable) as caught:
        await subject.log.append(ONE, [StringValue("a")], after=NEW, cause=cause("r1"))
    assert caught.value.reason == "LOG_UNREACHABLE"
    assert not isinstance(caught.value, Conflict)


async def test_no_events_are_a_mistake(subject: Subject) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await subject.log.append(ONE, [], after=NEW, cause=cause("r1"))
