"""What can be asked about a message is read out of it, and no message is refused."""

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.entry import Message, entry_of, microseconds
from services.ledger.domain.leaf import header_lines, leaf_data, leaf_hash
from tests.unit.ledger.story import BEGIN, plain


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
