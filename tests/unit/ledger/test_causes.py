"""Chains of causes: what headers do not say is found, what goes round in circles is not followed, all is bounded."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from provost.orchestrator.v1 import events_pb2 as orchestrator
from services.ledger.domain.entry import Message
from services.ledger.domain.faults import EffectUnknown, EventUnknown
from services.ledger.handlers import causes as module
from services.ledger.handlers.causes import Causes
from services.ledger.wire.references import references_of
from services.ledger.wire.understanding import understand
from tests.bench.questions import run_of
from tests.unit.ledger.story import message, opened, plain

Made = Callable[[list[Message]], Awaitable[Causes]]


@pytest_asyncio.fixture
async def causes_in(tmp_path: Path) -> AsyncIterator[Made]:
    """Makes what finds causes among messages."""
    book = await opened(tmp_path / "ledger.db")

    async def made(messages: list[Message]) -> Causes:
        await book.append(messages)
        return Causes(book, understand, references_of)

    yield made
    await book.close()


def phase(sequence: int, event_id: str, led_by: str) -> Message:
    event = orchestrator.RunPhaseEntered(run_id="run-x", agent_id="sre-1")
    return message(
        sequence,
        event,
        aggregate="run",
        id="run-x",
        correlation_id="run-x",
        causation_id=led_by,
        event_id=event_id,
    )


def without_causes(messages: list[Message]) -> list[Message]:
    """As events were before any named its cause."""
    made = []
    for each in messages:
        lines = [line for line in each.header.split(b"\r\n") if not line.startswith(b"ce-causationid")]
        made.append(each._replace(header=b"\r\n".join(lines)))
    return made


async def test_events_that_name_no_cause_follow_the_one_before_them_in_their_run(causes_in: Made) -> None:
    others = [plain(sequence, run=f"run-{sequence}") for sequence in range(1, 4)]
    causes = await causes_in(without_causes([*others, *run_of(0, 4)]))
    traced = await causes.of_effect("default", "effect-0")
    assert not traced.incomplete
    kinds = [step.entry.event_type for step in traced.steps]
    assert kinds[:4] == ["RunStarted", "PacketIssued", "LockAcquired", "PlanRecorded"]
    assert kinds[-1] == "EffectIntended"
    assert [step.caused_by for step in traced.steps] == [
        0,
        *(step.entry.sequence for step in traced.steps[:-1]),
    ]


async def test_of_decisions_made_together_only_the_ones_own_approval_counts(causes_in: Made) -> None:
    one, other = run_of(0, 1), run_of(20, 21)
    causes = await causes_in([*one, *other])
    traced = await causes.of_effect("default", "effect-20")
    assert {step.entry.correlation_id for step in traced.steps} == {"run-20"}


async def test_a_circle_is_not_followed(causes_in: Made) -> None:
    messages = [phase(1, "a", "c"), phase(2, "b", "a"), phase(3, "c", "b"), phase(4, "d", "d")]
    causes = await causes_in(messages)
    traced = await causes.of_event("default", "c")
    assert [step.entry.event_id for step in traced.steps] == ["a", "b", "c"]
    assert [step.caused_by for step in traced.steps] == [0, 1, 2]
    alone = await causes.of_event("default", "d")
    assert [(step.entry.event_id, step.caused_by) for step in alone.steps] == [("d", 0)]


async def test_a_long_chain_is_cut_at_its_far_end_and_says_so(
    causes_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STEPS", 10)
    messages = [phase(n, f"e-{n}", f"e-{n - 1}" if n > 1 else "") for n in range(1, 31)]
    causes = await causes_in(messages)
    traced = await causes.of_event("default", "e-30")
    assert [step.entry.sequence for step in traced.steps] == list(range(21, 31))
    assert traced.incomplete
    assert not (await causes.of_event("default", "e-10")).incomplete


async def test_what_is_unknown_is_said(causes_in: Made) -> None:
    causes = await causes_in([plain(1)])
    for event_id in ("", "nothing"):
        with pytest.raises(EventUnknown):
            await causes.of_event("default", event_id)
    with pytest.raises(EffectUnknown):
        await causes.of_effect("default", "nothing")
