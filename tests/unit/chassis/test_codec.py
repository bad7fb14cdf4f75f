"""Events as bytes, headers as lines, subjects as names."""

from dataclasses import dataclass, replace

import pytest
from google.protobuf.wrappers_pb2 import BoolValue as BoolMessage
from google.protobuf.wrappers_pb2 import Int64Value as IntMessage
from google.protobuf.wrappers_pb2 import StringValue as StringMessage
from hypothesis import given
from hypothesis import strategies as st

from chassis.eventlog.codec import Codec, Unreadable, Upcast, Upcasts
from chassis.eventlog.headers import (
    Headers,
    block,
    event_lines,
    expectation_lines,
    inert,
    is_event,
    raw_headers,
)
from chassis.eventlog.subjects import event_subject, matching, widest
from kernel.events import Head, Recorded, Stream
from kernel.faults import Invalid
from tests.contract.eventlog.words import CODEC, ONE, SOURCE, Int64Value, StringValue, cause

USUAL = block(
    event_lines(
        ONE, "google.protobuf.StringValue", "id", 0, after=Head(9, 3), cause=cause("r"), source=SOURCE
    )
    + expectation_lines(ONE, Head(9, 3))
)


def recorded(
    payload: bytes, kind: str = "StringValue", name: str = "google.protobuf.StringValue"
) -> Recorded:
    return Recorded(1, ONE.subject(kind), Headers(block(f"ce-type: {name}\r\n")), payload)


def test_an_event_has_a_short_name_a_full_name_and_bytes() -> None:
    short, full, payload = CODEC.encode(StringValue("x"))
    assert (short, full, payload) == ("StringValue", "google.protobuf.StringValue", b"\n\x01x")
    assert CODEC.decode(recorded(payload)) == StringValue("x")


def test_an_event_outside_the_table_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="not in this codec"):
        CODEC.encode("x")


@pytest.mark.parametrize(
    "bad",
    [
        recorded(b"\xff\xff"),
        recorded(b"", name="acme.Strange"),
        recorded(b"", kind="Int64Value"),
        Recorded(1, ONE.subject("StringValue"), Headers(b""), b""),
    ],
)
def test_what_cannot_be_read_says_where_it_stands(bad: Recorded) -> None:
    with pytest.raises(Unreadable) as caught:
        CODEC.decode(bad)
    assert (caught.value.reason, caught.value.facts["sequence"]) == ("UNREADABLE_EVENT", "1")


def test_an_old_message_is_brought_up_to_date() -> None:
    codec = Codec(
        {StringValue: StringMessage},
        {BoolMessage: lambda message: StringValue("yes" if message.value else "no")},
    )
    payload = BoolMessage(value=True).SerializeToString()
    old = recorded(payload, "BoolValue", "google.protobuf.BoolValue")
    assert codec.decode(old) == StringValue("yes")
    assert codec.event_types == {"StringValue", "BoolValue"}


def test_old_messages_become_new_ones_in_steps() -> None:
    def text(old: BoolMessage) -> IntMessage:
        return IntMessage(value=int(old.value))

    def number(old: IntMessage) -> StringMessage:
        return StringMessage(value=f"{old.value}")

    upcasts = Upcasts(
        Upcast(BoolMessage, IntMessage, text),
        Upcast(IntMessage, StringMessage, number),
        Upcast(
            StringMessage,
            StringMessage,
            lambda old: StringMessage(value=f"old {old.value}"),
            applies=lambda old: not old.value.startswith("new"),
        ),
    )
    codec = Codec({StringValue: StringMessage}, upcasts=upcasts)
    for message, kind, expected in (
        (BoolMessage(value=True), "BoolValue", "old 1"),
        (IntMessage(value=7), "Int64Value", "old 7"),
        (StringMessage(value="x"), "StringValue", "old x"),
        (StringMessage(value="new x"), "StringValue", "new x"),
    ):
        stored = recorded(message.SerializeToString(), kind, f"google.protobuf.{kind}")
        assert codec.decode(stored) == codec.decode(stored) == StringValue(expected)
    assert codec.event_types == {"BoolValue", "Int64Value", "StringValue"}
    assert upcasts.target(BoolMessage) is StringMessage
    assert codec.encode(StringValue("x"))[2] == b"\n\x01x"


def test_upcasts_never_go_round() -> None:
    with pytest.raises(TypeError, match="for ever"):
        Upcasts(Upcast(BoolMessage, BoolMessage, lambda old: old))
    with pytest.raises(TypeError, match="circle"):
        Upcasts(
            Upcast(BoolMessage, IntMessage, lambda old: IntMessage()),
            Upcast(IntMessage, BoolMessage, lambda old: BoolMessage()),
        )


def test_a_table_must_be_consistent() -> None:
    @dataclass(frozen=True)
    class Renamed:
        value: str

    with pytest.raises(TypeError, match="named differently"):
        Codec({Renamed: StringMessage})
    with pytest.raises(TypeError, match="given twice"):
        Codec({StringValue: StringMessage}, {StringMessage: lambda message: message})


@given(st.text())
def test_a_header_value_is_one_plain_line_and_comes_back(value: str) -> None:
    line = inert(value)
    assert line.isascii()
    assert line.isprintable()
    assert " " not in line
    headers = Headers(block(f"ce-actor: {line}\r\nce-id: 7\r\n"))
    assert headers["ce-actor"] == value.encode(errors="replace").decode()
    assert headers["ce-id"] == "7"


def test_optional_headers_are_left_out_and_later_events_follow_the_first() -> None:
    bare = cause("r")
    lines = event_lines(ONE, "a.B", "id", 1, after=Head(9, 3), cause=bare, source=SOURCE)
    headers = Headers(block(lines))
    assert (headers["ce-aggver"], "ce-prevseq" in headers, "traceparent" in headers) == ("5", False, False)
    assert len(headers) == len(list(headers))


@given(st.lists(st.tuples(st.sampled_from(["a", "ce-a", "b"]), st.text("x%2 :\t", max_size=6)), max_size=5))
def test_a_header_is_the_same_looked_up_or_listed(lines: list[tuple[str, str]]) -> None:
    raw = block("".join(f"{name}: {value}\r\n" for name, value in lines))
    listed = Headers(raw)._all()
    assert {name: Headers(raw)[name] for name in listed} == listed == dict(Headers(raw))
    names = [name for name, _ in lines]
    assert set(listed) == set(names) - ({"ce-a"} if names.count("ce-a") > 1 else set())
    assert "c" not in Headers(raw)
    assert Headers(b"NATS/1.0\r\na:b\r\n\r\n")["a"] == "b"


@given(
    st.lists(st.sampled_from(["ce-prevseq", "ce-correlationid", "ce-causationid"]), unique=True),
    st.text("x%2 :\t\n", max_size=6),
)
def test_a_header_of_ours_is_the_same_looked_up_or_listed(left_out: list[str], value: str) -> None:
    whole = event_lines(
        ONE,
        "a.B",
        "id",
        0,
        after=Head(9, 3),
        cause=replace(cause("r"), correlation_id="c", causation_id="d"),
        source=SOURCE,
    )
    kept = [line for line in whole.split("\r\n")[:-1] if line.partition(":")[0] not in left_out]
    raw = block("".join(f"{line}\r\n" for line in [*kept, f"Nats-Expected-Stream: {value}"]))
    listed = Headers(raw)._all()
    for name in (*listed, *left_out):
        assert Headers(raw).get(name) == listed.get(name)
        assert (name in Headers(raw)) == (name in listed)
    assert listed["ce-aggver"] == "4"


@pytest.mark.parametrize(
    "doubtful",
    [
        *(USUAL[:-2] + again + b"\r\n\r\n" for again in (b"ce-actor: key:alice", b" ce-id :x", b"ce-type")),
        b"NATS/1.0\r\nce-aggver: 9\r\n" + USUAL[10:],
        USUAL.replace(b"NATS/1.0\r\n", b"NATS/1.0 200\r\n"),
        USUAL[:-2],
    ],
)
def test_what_says_something_twice_or_is_no_block_is_no_event(doubtful: bytes) -> None:
    """The ledger sees none of these headers, and nobody else may act on what it does not show."""
    usual, other = (
        Recorded(1, ONE.subject("StringValue"), Headers(raw), b"\n\x01x") for raw in (USUAL, doubtful)
    )
    assert is_event(usual)
    assert CODEC.decode(usual) == StringValue("x")
    assert not is_event(other)
    assert not any(name.startswith("ce-") for name in other.headers)
    assert (other.event_id, other.time, other.headers.get("ce-prevseq")) == ("", None, None)
    assert other.headers["Nats-Msg-Id"] == usual.headers["Nats-Msg-Id"], "of others the first counts"
    with pytest.raises(Unreadable):
        CODEC.decode(other)


def test_only_what_was_read_from_a_log_has_raw_headers() -> None:
    assert raw_headers(recorded(b"")) == b"NATS/1.0\r\nce-type: google.protobuf.StringValue\r\n\r\n"
    with pytest.raises(TypeError):
        raw_headers(Recorded(1, "a", {}, b""))


@pytest.mark.parametrize(
    ("subject_filter", "subject", "expected"),
    [
        ("evt.>", "evt.a", True),
        ("evt.>", "evt.a.b.c", True),
        ("evt.>", "evt", False),
        ("evt.*.b", "evt.a.b", True),
        ("evt.*.b", "evt.a.c.b", False),
        ("evt.a", "evtxa", False),
        ("evt.a", "evt.a", True),
    ],
)
def test_filters_match_as_nats_has_it(subject_filter: str, subject: str, expected: bool) -> None:
    assert matching(["x.y", subject_filter])(subject) is expected


def test_filters_that_others_cover_are_left_out() -> None:
    policy, agents, revoked = "evt.*.policy.>", "evt.*.policy.agent.*.*", "evt.*.*.*.*.AgentRevoked"
    assert widest([agents, policy, policy, revoked]) == [policy, revoked]
    assert widest(["evt.>", agents, policy]) == ["evt.>"]
    assert widest(["evt.*", "evt.>"]) == ["evt.>"]
    assert widest(["evt.a.*", "evt.*.b"]) == ["evt.a.*", "evt.*.b"]


def test_every_event_subject_is_covered_by_its_streams_filter() -> None:
    assert matching([ONE.filter])(event_subject(ONE, "Happened"))
    with pytest.raises(Invalid):
        event_subject(ONE, "Two.Tokens")
    with pytest.raises(Invalid):
        event_subject(Stream("a", "b", "c", "d.e"), "Happened")


def test_an_integer_event_too() -> None:
    short, full, payload = CODEC.encode(Int64Value(-5))
    assert CODEC.decode(recorded(payload, short, full)) == Int64Value(-5)
