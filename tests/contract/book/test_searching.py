"""Events are found whatever is asked: held against looking through all of them."""

import random
from dataclasses import replace
from typing import Any

import pytest

from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.state.v1 import events_pb2 as state
from services.ledger.adapters import searching
from services.ledger.domain.entry import Entry, Message, entry_of
from services.ledger.domain.questions import EventQuestion, Page
from services.ledger.domain.terms import PART
from services.ledger.ports.book import Book
from tests.unit.ledger.story import at, message, plain, plains
from tests.unit.ledger.story import run as whole_run

EVENTS = 1100


def history(seed: int) -> list[Message]:
    """Events of several tenants, runs, agents and tasks; a clock that jumps, and some that nobody can read."""
    chance = random.Random(seed)
    made = []
    for sequence in range(1, EVENTS + 1):
        tenant = chance.choice(("default", "default", "acme"))
        run, agent = f"run-{sequence // 40}", f"sre-{chance.randrange(3)}"
        task = f"task-{sequence // 300}"
        started = orchestrator.RunStarted(run_id=run, task_id=task, agent_id=agent, at=at(sequence))
        failed = state.ErrorRecorded(agent_id=agent, task_id=task, run_id=run, at=at(sequence))
        each = chance.choice(
            (
                message(sequence, started, tenant=tenant, aggregate="run", id=run, correlation_id=run),
                message(sequence, failed, tenant=tenant, id=agent, actor=f"agent:{agent}"),
                plain(sequence, tenant=tenant, run=run),
                Message(sequence, f"evt.{tenant}.what", b"NATS/1.0\r\nno colon\r\n\r\n", b"\xff"),
                Message(sequence, f"evt.{tenant}.a.b.c.D", b"", b"\xff"),
            )
        )
        if chance.random() < 0.1:
            each = each._replace(header=each.header.replace(b"2026-03", b"2026-02"))
        made.append(each)
    return made


def asked_with(question: EventQuestion, name: str, value: str) -> EventQuestion:
    changed: dict[str, Any] = {name: value}
    return replace(question, **changed)


def questions(entries: list[Entry], seed: int) -> list[EventQuestion]:
    """Some of everything: filters alone, several at once, and times, as they stand in some event."""
    chance = random.Random(seed)
    asked = [EventQuestion("default"), EventQuestion("acme"), EventQuestion("nobody"), EventQuestion("")]
    named = ("context", "aggregate", "aggregate_id", "event_type", "correlation_id", "actor")
    for _ in range(40):
        like = chance.choice(entries)
        question = EventQuestion(like.tenant, oldest_first=chance.random() < 0.5)
        for name in chance.sample(named, chance.randrange(4)):
            question = asked_with(question, name, getattr(like, name))
        if chance.random() < 0.5:
            name, of = chance.choice(
                (("agent_id", "sre-1"), ("run_id", like.correlation_id), ("task_id", "task-1"))
            )
            question = asked_with(question, name, of)
        if like.at_us is not None and chance.random() < 0.4:
            question = replace(question, from_us=like.at_us - 50_000_000, to_us=like.at_us + 100_000_000)
        asked.append(question)
    return asked


async def sequences(book: Book, question: EventQuestion, size: int) -> list[int]:
    found, page = [], Page(size)
    for _ in range(EVENTS):
        listed = await book.events(question, page)
        assert len(listed.rows) <= size
        found += [each.sequence for each in listed.rows]
        if listed.end is None:
            return found
        page = Page(size, listed.end)
    raise AssertionError(f"{question} never ends")


def expected(
    entries: list[Entry], question: EventQuestion, told: dict[int, tuple[str, str, str]]
) -> list[int]:
    found = []
    for entry in entries:
        agent, run, task = told.get(entry.sequence, ("", "", ""))
        holds = entry.tenant == question.tenant and all(
            getattr(question, name) in ("", getattr(entry, name))
            for name in ("context", "aggregate", "aggregate_id", "event_type", "correlation_id", "actor")
        )
        agents = {agent, entry.actor.removeprefix("agent:")}
        runs = {run, entry.correlation_id}
        if entry.aggregate == "run":
            runs.add(entry.aggregate_id)
        holds = holds and (not question.agent_id or question.agent_id in agents)
        holds = holds and (not question.run_id or question.run_id in runs)
        holds = holds and (not question.task_id or question.task_id == task)
        if question.from_us is not None:
            assert question.to_us is not None
            holds = holds and entry.at_us is not None and question.from_us <= entry.at_us < question.to_us
        if holds:
            found.append(entry.sequence)
    return found if question.oldest_first else found[::-1]


def ids_in(entry: Entry) -> tuple[str, str, str]:
    kinds: dict[str, Any] = {"RunStarted": orchestrator.RunStarted, "ErrorRecorded": state.ErrorRecorded}
    if entry.event_type == "RunPhaseEntered":
        entered = orchestrator.RunPhaseEntered.FromString(entry.payload)
        return entered.agent_id, entered.run_id, ""
    if entry.event_type not in kinds:
        return "", "", ""
    read = kinds[entry.event_type].FromString(entry.payload)
    return read.agent_id, read.run_id, read.task_id


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_asked_for_is_found_and_nothing_else(book: Book, seed: int) -> None:
    messages = history(seed)
    entries = [entry_of(each) for each in messages]
    told = {each.sequence: ids_in(each) for each in entries}
    await book.append(messages[:900])
    await book.append(messages[900:])
    for n, question in enumerate(questions(entries, seed)):
        assert await sequences(book, question, (3, 50, 500)[n % 3]) == expected(entries, question, told), (
            question
        )


async def test_a_page_that_has_looked_at_enough_goes_on_in_the_next(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_BLOCKS", 16)
    monkeypatch.setattr(searching, "MAX_ROWS", 64)
    messages = [plain(n, run=f"run-{n}") for n in range(1, 5001)]
    await book.append(messages)
    never = EventQuestion("default", event_type="RunPhaseEntered", from_us=10**18)
    assert await sequences(book, never, 10) == []
    for ahead in (False, True):
        some = EventQuestion("default", event_type="RunPhaseEntered", run_id="run-2500", oldest_first=ahead)
        assert await sequences(book, some, 10) == [2500]


async def test_decisions_are_found_by_each_agent_run_and_task_in_them(book: Book) -> None:
    await book.append([*whole_run(), *(plain(n) for n in range(10, 600))])
    for question in (
        EventQuestion("default", agent_id="sre-1", event_type="DecisionsMade"),
        EventQuestion("default", run_id="run-1", event_type="DecisionsMade"),
        EventQuestion("default", task_id="task-1", event_type="DecisionsMade"),
    ):
        assert await sequences(book, question, 10) == [3]


async def test_ids_are_found_in_every_part_of_their_index(book: Book) -> None:
    story = plains(20, first=PART - 10)
    await book.append(story)
    for each in story:
        found = await book.event("default", entry_of(each).event_id)
        assert found is not None
        assert found.sequence == each.sequence
    assert all(each.ok for each in (await book.audit([])).findings)
