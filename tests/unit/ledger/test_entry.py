"""What can be asked about a message is read out of it, and no message is refused."""

from hypothesis import given
from hypothesis import strategies as st

from chassis.eventlog.headers import Headers
from provost.policy.v1 import events_pb2 as policy
from services.ledger.domain.entry import Message, entry_of, headers_of, microseconds, read_row, row_of, taken
from services.ledger.domain.leaf import header_lines, leaf_data, leaf_hash
from services.ledger.domain.understood import NOTHING
from services.ledger.wire.understanding import understand
from tests.unit.ledger.story import BEGIN, message, plain


def test_an_event_of_ours() -> None:
    message = plain(5, tenant="acme", run="run-7")
    entry = entry_of(message)
    assert (entry.tenant, entry.context, entry.aggregate) == ("acme", "orchestrator", "run")
    assert (entry.aggregate_id, entry.event_type) == ("run-7", "RunPhaseEntered")
    assert (entry.correlation_id, entry.causation_id, entry.actor) == ("run-7", "cause-1", "service:tests")
    assert entry.at_us == microseconds(BEGIN) + 5_000_000
    assert entry.headers["ce-type"] == "provost.orchestrator.v1.RunPhaseEntered"
    assert entry.event_id == entry.headers["Nats-Msg-Id"]
    assert (entry.subject, entry.header, entry.payload) == (message.subject, message.header, message.payload)
    lines = header_lines(message.header)
    assert entry.leaf_hash == leaf_hash(
        leaf_data(message.subject.encode(), message.header, lines, message.payload)
    )


def test_values_are_percent_decoded_where_cloudevents_encodes_them() -> None:
    entry = entry_of(
        Message(1, "evt.a.b.c.d.E", b"NATS/1.0\r\nce-actor: key:J%C3%BCrgen\r\nx-y: 1%20\r\n\r\n", b"")
    )
    assert entry.actor == "key:Jürgen"
    assert entry.headers == {"ce-actor": "key:Jürgen", "x-y": "1%20"}


def test_what_says_something_twice_says_nothing_whichever_comes_first() -> None:
    """Their leaves are the same: whoever has the database could turn them round."""
    ours = message(5, policy.AgentRevoked(agent_id="sre-1"))
    leaves = set()
    for again in (b"ce-actor:another", b" ce-type : another", b"ce-id: another"):
        twice = [*(header_lines(ours.header) or []), again]
        for order in (twice, twice[::-1]):
            header = b"".join(each + b"\r\n" for each in (b"NATS/1.0", *order, b""))
            entry = entry_of(ours._replace(header=header))
            assert entry[7:12] == ("",) * 4 + (None,), again
            assert "ce-actor" not in entry.headers
            assert understand(entry) == NOTHING
            leaves.add(entry.leaf_hash)
    assert len(leaves) == 3
    assert understand(entry_of(ours)) != NOTHING
    assert headers_of([b"x: 1", b"x: 2", b"ce-id: 3"]) == {"x": "1", "ce-id": "3"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ce-id", "ce-type", " ce-id ", "ce-id\x85", "ce-\ufffd", "x-ce-", "x", ""]),
            st.sampled_from([": ", ":", "", " "]),
            st.text("ab%2 :\t\n\r", max_size=4),
        ),
        max_size=4,
    ),
    st.sampled_from(["NATS/1.0\r\n", "NATS/1.0 200\r\n", "\r\n", ""]),
    st.sampled_from(["\r\n", "", "\r\n\r\n"]),
)
def test_services_and_the_ledger_read_the_same_headers_of_events(
    lines: list[tuple[str, str, str]], first: str, last: str
) -> None:
    raw = (first + "".join("".join(each) + "\r\n" for each in lines) + last).encode()
    entry = entry_of(Message(1, "evt.acme.policy.agent.a.AgentRevoked", raw, b""))
    read = {name: value for name, value in entry.headers.items() if name.startswith("ce-")}
    services = Headers(raw)
    assert {name: value for name, value in services.items() if name.startswith("ce-")}.items() <= read.items()
    assert {name for name in read if read[name]} <= set(services)
    assert services.get("ce-id", "") == entry.event_id


def test_what_cannot_be_read_has_empty_columns() -> None:
    for subject in ("evt.a.b.c.d", "evt.a.b.c.d.E.f", "other.a.b.c.d.E", ""):
        entry = entry_of(Message(7, subject, b"nonsense", b"\xff"))
        assert entry[2:12] == ("",) * 9 + (None,)
        assert (entry.sequence, len(entry.leaf_hash), entry.headers) == (7, 32, {})


def test_a_subject_that_is_no_text_is_kept_readably() -> None:
    entry = entry_of(Message(1, "evt.\udcff.b", b"", b""))
    assert entry.subject == "evt.\\udcff.b"
    assert entry_of(Message(1, entry.subject, b"", b"")) == entry


@given(st.text(max_size=40), st.binary(max_size=80), st.binary(max_size=80))
def test_no_message_is_refused(subject: str, lines: bytes, payload: bytes) -> None:
    for header in (
        lines,
        b"NATS/1.0\r\n" + lines + b"\r\n\r\n",
        b"NATS/1.0\r\nce-time: " + lines + b"\r\n\r\n",
    ):
        entry = entry_of(Message(1, subject, header, payload))
        assert (entry.subject, entry.header, entry.payload) == (subject, header, payload)
        assert len(entry.leaf_hash) == 32


LINES = [
    "Nats-Batch-Id: fill-1",
    "Nats-Expected-Last-Subject-Sequence: 4",
    "Nats-Expected-Last-Subject-Sequence-Subject: evt.default.orchestrator.run.run-1.*",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "ce-id: another",
    "ce-actor: key:J%C3%BCrgen",
    "ce-time: 2027-01-01T00:00:00Z",
    "CE-id: shouted",
    "X-Y:",
    "X-Y:z",
    ": nameless",
    "no colon",
    "name: tab\tand é",
    "",
]


@given(
    st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=5),
    st.integers(0, 14) | st.none(),
    st.text(max_size=8),
)
def test_however_headers_are_read_they_say_the_same(more: list[str], where: int | None, subject: str) -> None:
    ours = plain(5).header.decode().split("\r\n")
    at = -2 if where is None else where
    block = "\r\n".join([*ours[:at], *more, *ours[at:]]).encode()
    message = Message(5, f"evt.a.b.c.d.{subject}", block, b"payload")
    row, entry = taken(message)
    assert (row, entry) == (row_of(message), read_row(row_of(message)))
    lines = header_lines(block)
    assert row.leaf_hash == leaf_hash(leaf_data(message.subject.encode(), block, lines, b"payload"))
    headers = headers_of(lines or [])
    assert [entry.event_id, entry.correlation_id, entry.causation_id, entry.actor] == [
        headers.get(name, "") for name in ("ce-id", "ce-correlationid", "ce-causationid", "ce-actor")
    ]
