"""What any book owes the ledger."""

from collections.abc import Sequence

import pytest

from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state
from services.ledger.adapters import schema
from services.ledger.adapters.sqlite import versions, writer
from services.ledger.domain import entry as entries
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.entry import Message, entry_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.position import Position
from services.ledger.domain.proofs import Range, range_root, slices
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    EventQuestion,
    Page,
    ViolationQuestion,
)
from services.ledger.domain.records import SignedHead
from services.ledger.ports.book import Book
from tests.contract.book.shelves import Shelf, root
from tests.unit.ledger.story import BEGIN, at, decision, message, plain, plains, run


async def test_a_new_book_is_empty(book: Book) -> None:
    assert await book.position() == Position()
    assert await book.event("default", "nothing") is None
    assert (await book.events(EventQuestion("default"), Page(10))).rows == ()
    assert list(await book.heads()) == []
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_what_is_appended_is_there_and_is_a_tree(book: Book) -> None:
    messages = plains(700)
    for begin, end in ((0, 1), (1, 300), (300, 700)):
        position = await book.append(messages[begin:end])
    assert position == await book.position() == Position(1, 700, root(messages))
    for size in (1, 255, 256, 257, 512, 700):
        hashes = await book.hashes(slices(Range(0, size)))
        assert range_root(hashes) == root(messages[:size]), size
    entry = entry_of(messages[300])
    assert await book.event("default", entry.event_id) == entry
    assert await book.event("acme", entry.event_id) is None
    assert await book.leaf_hashes(301, 301) == [(301, entry.leaf_hash)]
    assert await book.rows(301, 302) == [entry, entry_of(messages[301])]
    assert await book.rows(701, 900) == []
    assert await book.leaf_hashes(700, 900) == [(700, entry_of(messages[699]).leaf_hash)]
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_it_may_begin_anywhere_but_never_leaves_a_gap(book: Book) -> None:
    await book.append(plains(3, first=41))
    assert (await book.position()).first == 41
    for wrong in (plains(1, first=45), [plain(44), plain(46)], [plain(45), plain(44)]):
        with pytest.raises(LedgerDiverged):
            await book.append(wrong)
    assert (await book.position()).last == 43
    await book.append(plains(5, first=40))
    assert (await book.position()).last == 44


async def test_appending_again_changes_nothing(book: Book) -> None:
    messages = plains(20)
    position = await book.append(messages)
    assert (
        await book.append(messages) == await book.append(messages[5:10]) == await book.append([]) == position
    )
    listed = await book.events(EventQuestion("default"), Page(100))
    assert [each.sequence for each in listed.rows] == list(range(20, 0, -1))


async def test_a_repeated_message_is_a_leaf_and_no_second_action(book: Book) -> None:
    story = run()
    again = [
        Message(len(story) + 1 + n, each.subject, each.header, each.payload) for n, each in enumerate(story)
    ]
    await book.append([*story, *again])
    assert (await book.position()).size == 2 * len(story)
    assert len((await book.actions(ActionQuestion("default"), Page(10))).rows) == 2
    assert len((await book.violations(ViolationQuestion("default"), Page(10))).rows) == 1
    (agent,) = (await book.agents(AgentQuestion("default"), Page(10))).rows
    assert agent.total_runs == 1
    first = entry_of(story[0])
    assert await book.event("default", first.event_id) == first
    assert all(each.ok for each in (await book.audit([])).findings)


async def test_lists_are_filtered_paged_and_kept_apart(book: Book) -> None:
    mixed = [plain(n, tenant="acme" if n % 3 == 0 else "default", run=f"run-{n % 4}") for n in range(1, 121)]
    await book.append(mixed)

    async def sequences(question: EventQuestion, size: int) -> list[int]:
        found, page = [], Page(size)
        while True:
            listed = await book.events(question, page)
            assert len(listed.rows) <= size
            found += [each.sequence for each in listed.rows]
            if listed.end is None:
                return found
            page = Page(size, listed.end)

    ours = [n for n in range(1, 121) if n % 3]
    for size in (1, 7, 80, 500):
        assert await sequences(EventQuestion("default"), size) == ours[::-1]
    assert await sequences(EventQuestion("default", oldest_first=True), 9) == ours
    assert await sequences(EventQuestion("acme"), 50) == list(range(120, 0, -3))
    run_two = [n for n in ours if n % 4 == 2][::-1]
    for question in (
        EventQuestion("default", correlation_id="run-2"),
        EventQuestion("default", aggregate_id="run-2"),
        EventQuestion("default", aggregate_id="run-2", context="orchestrator", aggregate="run"),
        EventQuestion("default", correlation_id="run-2", event_type="RunPhaseEntered", actor="service:tests"),
    ):
        assert await sequences(question, 5) == run_two
    first = entry_of(mixed[0]).at_us
    assert first is not None
    timed = EventQuestion("default", from_us=first + 10_000_000, to_us=first + 20_000_000)
    assert await sequences(timed, 4) == [n for n in range(20, 10, -1) if n % 3]
    for nothing in (EventQuestion("default", context="policy"), EventQuestion("other"), EventQuestion("")):
        assert await sequences(nothing, 5) == []


async def test_actions_agents_and_violations_are_asked_for(book: Book) -> None:
    await book.append([*run(), *run("acme", first=10)])
    both = (await book.actions(ActionQuestion("default"), Page(10))).rows
    assert [each.decision_id for each in both] == ["d2", "d1"]
    first = await book.actions(ActionQuestion("default"), Page(1))
    assert first.end == (3, 1)
    assert [
        each.decision_id for each in (await book.actions(ActionQuestion("default"), Page(1, first.end))).rows
    ] == ["d1"]
    for question in (
        ActionQuestion("default", agent_id="sre-1", decision="ALLOW"),
        ActionQuestion(
            "acme", run_id="run-1", task_id="task-1", action="diagnostics.memory", decision="ALLOW"
        ),
    ):
        (row,) = (await book.actions(question, Page(10))).rows
        assert (row.decision_id, row.success, row.tenant) == ("d1", True, question.tenant)
    assert (await book.actions(ActionQuestion("default", agent_id="sre-2"), Page(10))).rows == ()
    (agent,) = (await book.agents(AgentQuestion("acme"), Page(10))).rows
    assert (agent.agent_id, agent.total_runs, agent.revoked) == ("sre-1", 1, True)
    assert (await book.agents(AgentQuestion("acme"), Page(10, ("sre-1",)))).rows == ()
    assert len((await book.violations(ViolationQuestion("acme", "sre-1"), Page(10))).rows) == 1
    assert (await book.violations(ViolationQuestion("acme", "sre-2"), Page(10))).rows == ()


async def test_a_page_ends_before_it_outgrows_an_answer(book: Book) -> None:
    heavy = [Message(n, each.subject, each.header, b"x" * 300_000) for n, each in enumerate(plains(8), 1)]
    await book.append(heavy)
    listed = await book.events(EventQuestion("default"), Page(8))
    assert (len(listed.rows), listed.end) == (3, (6,))


async def test_it_is_there_after_closing_and_opening(shelf: Shelf) -> None:
    messages = plains(600)
    book = await shelf.open()
    position = await book.append(messages)
    await shelf.close()
    book = await shelf.open()
    assert await book.position() == position
    more = plains(10, first=601)
    assert (await book.append(more)).root == root([*messages, *more])


async def test_heads_are_remembered_once(book: Book) -> None:
    small, large = (SignedHead(Checkpoint("o", size, bytes(32)), "o\nnote", BEGIN) for size in (3, 9))
    for head in (large, small, SignedHead(small.checkpoint, "o\nanother", BEGIN)):
        await book.keep_head(head)
    assert list(await book.heads()) == [small, large]


async def test_no_message_stops_it(book: Book) -> None:
    long = "x" * 5000
    story = run()
    odd = [
        Message(0, "evt.a\0b.c", b"NATS/1.0\r\nce-id:\0\r\nce-actor:%00\r\n\r\n", b"\0"),
        Message(0, "evt.a\x010b.\x01.\x011", b"NATS/1.0\r\nce-id:\x01\r\n\r\n", b"\x01"),
        Message(0, "evt.\ud800", b"\xff\xfe", b""),
        Message(0, "", b"", b""),
        Message(0, f"evt.{long}.policy.agent.{long}.AgentRegistered", b"", b""),
        Message(0, story[0].subject, f"NATS/1.0\r\nce-id:{long}\r\nce-time:9999\r\n\r\n".encode(), b"\xff"),
    ]
    for name in (long, "nul\0and\x01", "\U0010ffff" * 250):
        made = decision(name, policy_pb2.VERDICT_ALLOW)
        made.agent_id = made.run_id = made.task_id = made.action.name = made.rule = name
        odd += [
            message(0, policy.DecisionsMade(decisions=[made]), aggregate="decisions", id="r"),
            message(0, policy.AgentRegistered(agent_id=name, tier=policy_pb2.TIER_T1_OPERATOR, at=at(1))),
            message(
                0, state.ErrorRecorded(agent_id=name, error_type=name, procedure_violation=True, at=at(2))
            ),
        ]
    odd += [made for made in odd if made.header]
    messages = [each._replace(sequence=n) for n, each in enumerate([*story, *odd], 1)]
    await book.append(messages)
    assert await book.position() == Position(1, len(messages), root(messages))
    more = plains(300, first=len(messages) + 1)
    await book.append(more)
    assert [each.ok for each in (await book.audit([])).findings].count(False) == 0
    for entry, stored in zip(map(entry_of, messages), await book.rows(1, len(messages)), strict=True):
        assert stored == entry
    (action,) = (await book.actions(ActionQuestion("default", agent_id="nul\0and\x01"), Page(9))).rows
    assert (action.decision_id, action.rule) == ("nul\0and\x01", "nul\0and\x01")
    assert (await book.events(EventQuestion("default", actor="\0"), Page(9))).rows == ()


def first_counts(lines: Sequence[bytes]) -> dict[str, str]:
    """What version 4 made of headers."""
    found: dict[str, str] = {}
    for name, _, value in (line.decode().partition(":") for line in lines):
        found.setdefault(name.strip(), value.strip())
    return found


async def test_what_a_former_version_read_out_of_a_message_is_read_anew(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no sign of tampering that this one reads something else."""
    given = policy.AgentPromoted(agent_id="sre-1", to_tier=policy_pb2.TIER_T4_ARCHITECT, at=at(1))
    said = message(1, given)
    story = [said._replace(header=said.header[:-2] + b"ce-actor: service:tests\r\n\r\n")]
    with monkeypatch.context() as before:
        before.setattr(entries, "headers_of", first_counts)
        for module in (schema, versions, writer):
            before.setattr(module, "VERSION", 4)
        book = await shelf.open()
        await book.append(story)
        head = SignedHead(Checkpoint("o", 1, root(story)), "o\n", BEGIN)
        await book.keep_head(head)
        assert len((await book.agents(AgentQuestion("default"), Page(10))).rows) == 1
        await shelf.close()
    book = await shelf.open()
    assert (await book.position(), list(await book.heads())) == (Position(), [head])
    assert await book.append(story) == Position(1, 1, root(story))
    assert (await book.agents(AgentQuestion("default"), Page(10))).rows == ()
    assert await book.rows(1, 1) == [entry_of(story[0])], "a leaf all the same"
    assert all(each.ok for each in (await book.audit([])).findings)
