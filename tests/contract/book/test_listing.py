"""Lists of projections against looking at every row: whatever is asked, pages give it all, once, in order, and end."""

import random
from typing import Any

import pytest
import pytest_asyncio

from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state
from services.ledger.adapters import listing
from services.ledger.domain.entry import Message, microseconds
from services.ledger.domain.questions import (
    ActionQuestion,
    ApprovalQuestion,
    Listed,
    Page,
    PromotionQuestion,
    ViolationQuestion,
)
from services.ledger.domain.rows import MAY_EXPIRE, ActionRow, ApprovalRow
from services.ledger.ports.book import Book
from tests.unit.ledger.story import BEGIN, at, decision, message

EVENTS = 600
AGENTS, RUNS, TASKS, ACTIONS = ("a-0", "a-1", "a-2"), 40, 7, ("look", "check", "apply")
VERDICTS = (policy_pb2.VERDICT_ALLOW, policy_pb2.VERDICT_DENY)
NAMES = {"ALLOW": policy_pb2.VERDICT_ALLOW, "DENY": policy_pb2.VERDICT_DENY}
BEGAN_US = microseconds(BEGIN)


def story(chance: random.Random) -> list[Message]:
    """Decisions in groups, breaches, approvals in every state, tiers; times go back now and then, as clocks do."""
    told = []
    for sequence in range(1, EVENTS + 1):
        agent, run = chance.choice(AGENTS), f"run-{chance.randrange(RUNS)}"
        task, tenant = f"task-{chance.randrange(TASKS)}", "acme" if chance.random() < 0.2 else "default"
        seconds = sequence - (300 if chance.random() < 0.02 else 0)
        kind = chance.random()
        if kind < 0.5:
            made = []
            for n in range(chance.choice((1, 1, 3))):
                each = decision(f"{sequence}-{n}", chance.choice(VERDICTS), seconds)
                each.agent_id, each.run_id, each.task_id = agent, f"{run}-{n}" if n else run, task
                each.action.name = chance.choice(ACTIONS)
                made.append(each)
            told.append(
                message(sequence, policy.DecisionsMade(decisions=made), tenant=tenant, aggregate="decisions")
            )
        elif kind < 0.7:
            error = state.ErrorRecorded(
                agent_id=agent, run_id=run, task_id=task, error_type=chance.choice(("X", "Y")),
                procedure_violation=chance.random() < 0.7, at=at(seconds),
            )  # fmt: skip
            told.append(message(sequence, error, tenant=tenant, id=agent))
        elif kind < 0.8:
            tier = chance.choice((policy_pb2.TIER_T0_OBSERVER, policy_pb2.TIER_T1_OPERATOR))
            told.append(
                message(
                    sequence,
                    policy.AgentRegistered(agent_id=agent, tier=tier, at=at(seconds)),
                    tenant=tenant,
                    id=agent,
                )
            )
        else:
            approval_id = f"ap-{chance.randrange(80)}"
            requested = policy.ApprovalRequested(
                approval_id=approval_id, agent_id=agent, run_id=run, task_id=task,
                action=policy_pb2.Action(name=chance.choice(ACTIONS)), at=at(seconds),
                expire_time=at(seconds + chance.randrange(1, 4 * EVENTS)),
            )  # fmt: skip
            answered = policy.ApprovalAnswered(
                approval_id=approval_id, approved=chance.random() < 0.5, by="key:b"
            )
            used = policy.ApprovalUsed(approval_id=approval_id, decision_id=f"{sequence}-0")
            event: Any = chance.choices((requested, answered, used), (6, 5, 1))[0]
            told.append(message(sequence, event, tenant=tenant, aggregate="approval", id=approval_id))
    return told


@pytest_asyncio.fixture
async def told(book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book that holds the story, whose lists look at twenty rows a page."""
    monkeypatch.setattr(listing, "WINDOW", 20)
    await book.append(story(random.Random(7)))
    return book


async def walk(ask: Any, question: Any, size: int) -> list[Any]:
    """Every row, page by page; a page that could not go on would never end."""
    found: list[Any] = []
    after, n = None, 0
    while True:
        page: Listed[Any] = await ask(question, Page(size, after))
        assert len(page.rows) <= size
        found += page.rows
        if page.end is None:
            return found
        assert after is None or page.end < after, "a page has to get on"
        after, n = page.end, n + 1
        assert n < 500, "a list has to end"


def sometimes(chance: random.Random, values: Any) -> str:
    return str(chance.choice(list(values))) if chance.random() < 0.5 else ""


def times(chance: random.Random) -> dict[str, int | None]:
    first, last = sorted(BEGAN_US + chance.randrange(EVENTS) * 1_000_000 for _ in range(2))
    return {"from_us": chance.choice((None, first)), "to_us": chance.choice((None, last))}


def holds(question: Any, row: Any, names: tuple[str, ...]) -> bool:
    if any(getattr(question, name) not in ("", getattr(row, name)) for name in names):
        return False
    from_us, to_us = question.from_us, question.to_us
    return (from_us is None or row.at_us >= from_us) and (to_us is None or row.at_us < to_us)


@pytest.mark.parametrize("seed", range(12))
async def test_actions_are_those_of_looking_at_every_row(told: Book, seed: int) -> None:
    chance = random.Random(seed)
    everything: list[ActionRow] = await walk(told.actions, ActionQuestion("default"), 500)
    assert [(row.sequence, row.position) for row in everything] == sorted(
        {(row.sequence, row.position) for row in everything}, reverse=True
    )
    question = ActionQuestion(
        "default",
        agent_id=sometimes(chance, AGENTS),
        run_id=sometimes(chance, (f"run-{n}" for n in range(3))),
        task_id=sometimes(chance, (f"task-{n}" for n in range(3))),
        action=sometimes(chance, ACTIONS),
        decision=sometimes(chance, NAMES),
        **times(chance),
    )
    names = ("agent_id", "run_id", "task_id", "action", "decision")
    wanted = [row for row in everything if holds(question, row, names)]
    assert await walk(told.actions, question, chance.choice((7, 50))) == wanted


@pytest.mark.parametrize("seed", range(8))
async def test_violations_and_promotions_are_those_of_looking_at_every_row(told: Book, seed: int) -> None:
    chance = random.Random(seed)
    violations = await walk(told.violations, ViolationQuestion("default"), 500)
    violation = ViolationQuestion(
        "default",
        agent_id=sometimes(chance, AGENTS),
        run_id=sometimes(chance, (f"run-{n}" for n in range(3))),
        task_id=sometimes(chance, (f"task-{n}" for n in range(3))),
        error_type=sometimes(chance, ("X", "Y")),
        **times(chance),
    )
    names = ("agent_id", "run_id", "task_id", "error_type")
    wanted = [row for row in violations if holds(violation, row, names)]
    assert violations
    assert await walk(told.violations, violation, 7) == wanted
    promotions = await walk(told.promotions, PromotionQuestion("default"), 500)
    tiers = ("T0_OBSERVER", "T1_OPERATOR")
    promotion = PromotionQuestion(
        "default", agent_id=sometimes(chance, AGENTS), to_tier=sometimes(chance, tiers), **times(chance)
    )
    assert promotions
    assert await walk(told.promotions, promotion, 7) == [
        row for row in promotions if holds(promotion, row, ("agent_id", "to_tier"))
    ]


@pytest.mark.parametrize("state", ["", "PENDING", "APPROVED", "REJECTED", "USED", "EXPIRED"])
async def test_approvals_are_asked_for_as_they_stand_now(told: Book, state: str) -> None:
    now_us = BEGAN_US + EVENTS * 1_000_000
    everything: list[ApprovalRow] = await walk(
        told.approvals, ApprovalQuestion("default", now_us=now_us), 500
    )
    wanted = [row for row in everything if state in ("", row.state_at(now_us))]
    assert wanted, "the story has approvals in every state"
    for agent in ("", "a-1"):
        question = ApprovalQuestion("default", agent_id=agent, state=state, now_us=now_us)
        mine = [row for row in wanted if agent in ("", row.agent_id)]
        assert await walk(told.approvals, question, 5) == mine


async def test_with_its_agent_an_approval_ends(told: Book) -> None:
    """As policy lists them: what nobody waits for any more is not pending, though its time is not over."""
    now_us = BEGAN_US + EVENTS * 1_000_000
    everything = ApprovalQuestion("default", now_us=now_us)
    before: list[ApprovalRow] = await walk(told.approvals, everything, 500)
    theirs = {
        row.approval_id for row in before if row.agent_id == "a-2" and row.state_at(now_us) in MAY_EXPIRE
    }
    assert theirs, "the story has open approvals of everybody"
    elsewhere = await walk(told.approvals, ApprovalQuestion("acme", now_us=now_us), 500)
    await told.append([message(EVENTS + 1, policy.AgentRevoked(agent_id="a-2", at=at(EVENTS)), id="a-2")])
    after = await walk(told.approvals, everything, 7)
    for was, now in zip(before, after, strict=True):
        state = "EXPIRED" if was.approval_id in theirs else was.state_at(now_us)
        assert (now.approval_id, now.state_at(now_us), now.expire_us) == (
            was.approval_id,
            state,
            was.expire_us,
        )
    for state in ("PENDING", "APPROVED", "USED", "EXPIRED"):
        found = await walk(told.approvals, ApprovalQuestion("default", state=state, now_us=now_us), 5)
        assert found == [row for row in after if row.state_at(now_us) == state]
    assert await walk(told.approvals, ApprovalQuestion("acme", now_us=now_us), 500) == elsewhere


async def test_a_page_that_finds_nothing_in_its_window_says_where_to_go_on(told: Book) -> None:
    rows = await walk(told.actions, ActionQuestion("default"), 500)
    # Both are common, and hardly any row is both: the first page has looked at a window of one of them.
    question = ActionQuestion(
        "default", agent_id="a-0", decision="DENY", from_us=0, to_us=BEGAN_US + 1_000_000
    )
    first = await told.actions(question, Page(50))
    assert len(rows) > listing.WINDOW
    assert len(first.rows) <= 1
    assert await walk(told.actions, question, 50) == [
        row for row in rows if holds(question, row, ("agent_id", "decision"))
    ]


async def test_a_tenant_sees_only_its_own(told: Book) -> None:
    for ask, question in (
        (told.actions, ActionQuestion("acme")),
        (told.violations, ViolationQuestion("acme")),
        (told.promotions, PromotionQuestion("acme")),
        (told.approvals, ApprovalQuestion("acme")),
    ):
        rows = await walk(ask, question, 50)
        assert rows
        assert {row.tenant for row in rows} == {"acme"}
        assert await walk(ask, type(question)("nobody"), 50) == []
    assert await told.effect("default", "e-1") is None
    mine = (await told.approvals(ApprovalQuestion("acme"), Page(1))).rows[0]
    assert await told.approval("acme", mine.approval_id) == mine
    theirs = await told.approval("default", mine.approval_id)
    assert theirs is None or theirs.tenant == "default"
