"""What may be sent no more is not sent again either, after an answer that was lost."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from chassis.eventlog.wire import AnswerLost, NotConnected
from kernel.events import Head
from kernel.faults import Refused, Unavailable
from tests.contract.eventlog.subject import JetStream
from tests.contract.eventlog.words import ONE, StringValue, cause, words


def failing_once(real: JetStream, monkeypatch: pytest.MonkeyPatch, problem: Exception, *, sent: bool) -> None:
    """The next event's answer is lost, or the event itself is."""
    ask, events = real.connection.ask, 0

    async def once(subject: str, payload: bytes = b"", **rest: Any) -> tuple[bytes | None, bytes]:
        nonlocal events
        events += subject.startswith("evt.")
        if events == 1 and subject.startswith("evt."):
            if sent:
                await ask(subject, payload, **rest)
            raise problem
        return await ask(subject, payload, **rest)

    monkeypatch.setattr(real.connection, "ask", once)


async def test_what_may_be_sent_is_asked_before_each_try_but_the_first(
    real: JetStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, settled = 0, asyncio.Event()
    settled.set()

    def guard() -> Awaitable[object] | None:
        nonlocal asked
        asked += 1
        return settled.wait() if asked == 1 else None

    await real.log.append(ONE, [StringValue("a")], after=Head(), cause=cause("r1"), guard=guard)
    assert asked == 0, "whoever appends has asked"
    failing_once(real, monkeypatch, NotConnected("gone"), sent=False)
    await real.log.append(ONE, [StringValue("b")], after=Head(1, 1), cause=cause("r2"), guard=guard)
    assert asked == 2
    assert words(await real.log.load(ONE)) == ["a", "b"]


@pytest.mark.parametrize("sent", [True, False])
async def test_what_may_no_longer_be_sent_is_refused_or_said_to_be_unclear(
    real: JetStream, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guard() -> None:
        raise Refused("TOO_LATE", "no more")

    failing_once(real, monkeypatch, AnswerLost() if sent else NotConnected("gone"), sent=sent)
    with pytest.raises((Refused, Unavailable)) as refused:
        await real.log.append(ONE, [StringValue("a")], after=Head(), cause=cause("r1"), guard=guard)
    assert refused.value.reason == ("LOG_UNREACHABLE" if sent else "TOO_LATE")
    assert words(await real.log.load(ONE)) == (["a"] if sent else [])
