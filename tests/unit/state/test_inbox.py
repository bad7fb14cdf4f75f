"""Messages: who gets them, in which order, until when."""

import dataclasses

import pytest

from kernel.faults import Fault
from services.state.domain.inbox import (
    KEPT_READ,
    MAX_BODY_BYTES,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    AcknowledgeMessages,
    Command,
    Inbox,
    Load,
    MessageSent,
    SendMessage,
    decide,
    evolve,
)
from services.state.domain.labels import ANY_LABEL, Labelling
from services.state.domain.sequenced import Sequenced
from tests.unit.state.worlds import T0

CREW = frozenset({"alpha", "beta", "gamma"})


def send(message_id: str = "m1", to: str = "beta", sender: str = "alpha", **other: object) -> SendMessage:
    command = SendMessage(message_id, "task-1", sender, to, "PROPOSAL", "{}", "", (), ANY_LABEL, CREW, T0)
    return dataclasses.replace(command, **other)  # type: ignore[arg-type]


def acknowledge(agent_id: str, *message_ids: str, up_to: int = 0) -> AcknowledgeMessages:
    return AcknowledgeMessages("task-1", agent_id, up_to, message_ids, T0)


def after(*commands: Command) -> Inbox:
    inbox = Inbox()
    for sequence, command in enumerate(commands, 1):
        event = decide(inbox, command)
        if event is not None:
            inbox = evolve(inbox, Sequenced(event, sequence))
    return inbox


def unread(inbox: Inbox, agent_id: str) -> list[str]:
    return [each.message_id for each in inbox.unread(agent_id)]


def test_a_message_goes_to_the_one_it_is_for() -> None:
    inbox = after(send())
    assert [unread(inbox, each) for each in ("alpha", "beta", "gamma")] == [[], ["m1"], []]


def test_a_message_to_all_goes_to_all_but_its_sender_and_waits_until_each_has_it() -> None:
    inbox = after(send(to=""))
    assert [unread(inbox, each) for each in ("alpha", "beta", "gamma")] == [[], ["m1"], ["m1"]]
    inbox = after(send(to=""), acknowledge("beta", "m1"))
    assert [unread(inbox, each) for each in ("beta", "gamma")] == [[], ["m1"]]
    assert not after(send(to=""), acknowledge("beta", "m1"), acknowledge("gamma", "m1")).waiting


def test_each_sender_is_heard_in_its_order() -> None:
    inbox = after(*(send(f"m{n}", sender=("alpha", "gamma")[n % 2]) for n in range(10)))
    assert unread(inbox, "beta") == [f"m{n}" for n in range(10)]


def test_everything_up_to_a_place_can_be_acknowledged_at_once() -> None:
    inbox = after(send("m1"), send("m2"), send("m3"), acknowledge("beta", up_to=2))
    assert unread(inbox, "beta") == ["m3"]


def test_nobody_acknowledges_for_another_and_twice_is_once() -> None:
    inbox = after(send(), acknowledge("gamma", "m1"))
    assert unread(inbox, "beta") == ["m1"]
    assert decide(after(send(), acknowledge("beta", "m1")), acknowledge("beta", "m1")) is None


def test_the_same_message_again_is_not_sent_again() -> None:
    assert decide(after(send()), send()) is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (send(to="nobody"), "RECIPIENT_UNKNOWN"),
        (send(to="alpha"), "RECIPIENT_UNKNOWN"),
        (send(sender="stranger"), "RECIPIENT_UNKNOWN"),
        (send(to="", crew=frozenset({"alpha"})), "RECIPIENT_UNKNOWN"),
        (send(to="a b"), "MALFORMED_ID"),
        (send(type="loud noise"), "FIELD_INVALID"),
        (send(body="{"), "FIELD_INVALID"),
        (send(body='"' + "x" * MAX_BODY_BYTES + '"'), "MESSAGE_TOO_LARGE"),
        (send(labels=("secret",), labelling=Labelling(frozenset(), "7")), "LABEL_UNKNOWN"),
    ],
)
def test_what_cannot_be_sent_is_refused(command: SendMessage, expected: str) -> None:
    with pytest.raises(Fault) as caught:
        decide(Inbox(), command)
    assert caught.value.reason == expected


def test_when_too_much_waits_the_sender_is_told_until_some_is_acknowledged() -> None:
    full = after(*(send(f"m{n}") for n in range(MAX_WAITING)))
    with pytest.raises(Fault) as caught:
        decide(full, send("one-more"))
    assert caught.value.reason == "INBOX_FULL"
    event = decide(full, acknowledge("beta", "m0"))
    assert event is not None
    assert decide(evolve(full, event), send("one-more")) is not None


def test_a_full_inbox_is_one_agents_and_who_sends_to_all_is_told_whom_it_passes_over() -> None:
    full = after(*(send(f"m{n}") for n in range(MAX_WAITING)))
    inbox = more(full, send("to-another", to="gamma"), send("to-all", to=""))
    sent = inbox.waiting["to-all"]
    assert (sent.recipients, sent.passed_over) == (("gamma",), ("beta",))
    assert unread(inbox, "gamma") == ["to-another", "to-all"]
    assert "to-all" not in unread(inbox, "beta")
    inbox = more(inbox, acknowledge("beta", "m0"), send("to-all-again", to=""))
    assert inbox.waiting["to-all-again"].recipients == ("beta", "gamma")
    with pytest.raises(Fault) as caught:
        decide(inbox, send("one-more", sender="gamma"))
    assert (caught.value.reason, caught.value.facts["agent_ids"]) == ("INBOX_FULL", "beta")


def test_who_is_not_there_any_more_is_given_nothing_and_hinders_nobody() -> None:
    left = after(*(send(f"m{n}", to="") for n in range(MAX_WAITING)), acknowledge("gamma", up_to=MAX_WAITING))
    there = CREW - {"beta"}
    sent = decide(left, send("to-all", to="", crew=there))
    assert isinstance(sent, MessageSent)
    assert (sent.message.recipients, sent.message.passed_over) == (("gamma",), ())


def test_what_waits_for_each_is_counted_as_it_is() -> None:
    inbox = after(
        send("m1", to="", body="[1]"), send("m2", body="[22]"), acknowledge("gamma", "m1", "m2", "m1")
    )
    assert inbox.loads == {"beta": Load(2, 7)}
    assert after(send("m1"), acknowledge("beta", "m1"), send("m2", to="gamma")).loads == {"gamma": Load(1, 2)}


def test_what_all_have_acknowledged_is_kept_a_while_and_not_sent_again() -> None:
    inbox = Inbox()
    for n in range(KEPT_READ + 1):
        inbox = more(inbox, send(f"m{n}"), acknowledge("beta", f"m{n}"))
    assert not inbox.waiting
    assert list(inbox.read) == [f"m{n}" for n in range(1, KEPT_READ + 1)]
    assert decide(inbox, send("m1")) is None
    assert not inbox.loads


def test_an_inbox_holds_so_many_bytes() -> None:
    body = '"' + "x" * (MAX_BODY_BYTES - 2) + '"'
    inbox = Inbox()
    for n in range(MAX_WAITING_BYTES // MAX_BODY_BYTES):
        inbox = more(inbox, send(f"m{n}", body=body))
    with pytest.raises(Fault) as caught:
        decide(inbox, send("one-more"))
    assert caught.value.reason == "INBOX_FULL"
    assert decide(more(inbox, acknowledge("beta", "m0")), send("one-more")) is not None


def more(inbox: Inbox, *commands: Command) -> Inbox:
    for command in commands:
        event = decide(inbox, command)
        assert event is not None
        inbox = evolve(inbox, Sequenced(event, inbox.sequence + 1))
    return inbox
