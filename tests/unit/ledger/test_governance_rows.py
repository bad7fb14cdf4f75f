"""Changes of tier and approvals as rows: in order, from none, and told twice they are told once."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provost.policy.v1 import events_pb2, policy_pb2
from services.ledger.domain.facts import Answered, Requested, TierGiven, Told, Used
from services.ledger.domain.rows import AgentRow, ApprovalRow, PromotionRow
from services.ledger.wire.facts import FACTS
from tests.unit.ledger.story import at
from tests.unit.ledger.test_projections import BEGIN_US, Tables

MINUTE_US = 60_000_000
KEY = ("default", "ap-1")


def told_as(sequence: int, fact: TierGiven | Requested | Answered | Used, actor: str = "key:admin") -> Told:
    return Told("default", sequence, f"event-{sequence}", fact, actor)


def given_tier(sequence: int, tier: str, reason: str = "TEN_COMPLIANT_RUNS", by: str = "") -> Told:
    return told_as(sequence, TierGiven("sre-1", tier, reason, by, BEGIN_US + sequence))


def test_the_first_tier_is_the_registration_and_the_next_say_where_from() -> None:
    tables = Tables()
    tables.tell(given_tier(1, "T0_OBSERVER", "REGISTERED"))
    tables.tell(given_tier(5, "T1_OPERATOR", by="service:policy"), given_tier(9, "T0_OBSERVER", "DEMOTED"))
    rows = [row for row in tables.rows[PromotionRow].values() if isinstance(row, PromotionRow)]
    assert [(row.from_tier, row.to_tier, row.reason, row.by) for row in rows] == [
        ("", "T0_OBSERVER", "REGISTERED", "key:admin"),
        ("T0_OBSERVER", "T1_OPERATOR", "TEN_COMPLIANT_RUNS", "service:policy"),
        ("T1_OPERATOR", "T0_OBSERVER", "DEMOTED", "key:admin"),
    ]
    agent = tables.rows[AgentRow]["default", "sre-1"]
    assert isinstance(agent, AgentRow)
    assert agent.current_tier == "T0_OBSERVER"


@given(st.lists(st.integers(0, 2), max_size=8))
def test_a_change_that_is_told_again_takes_no_later_one_back(again: list[int]) -> None:
    changes = [given_tier(n + 1, tier) for n, tier in enumerate(("T0", "T1", "T2"))]
    once, often = Tables(), Tables()
    once.tell(*changes)
    often.tell(*changes)
    for n in again:
        often.tell(changes[n])
    assert often.rows == once.rows


def test_a_move_says_what_it_rests_on() -> None:
    def move(kind: type[Any], **grounds: Any) -> Any:
        event = kind(
            agent_id="sre-1", from_tier=policy_pb2.TIER_T1_OPERATOR, to_tier=policy_pb2.TIER_T2_BUILDER
        )
        event.at.CopyFrom(at(3))
        event.grounds.MergeFrom(events_pb2.Grounds(**grounds))
        return FACTS[kind](event)

    given = TierGiven("sre-1", "T2_BUILDER", "", "key:bob", BEGIN_US + 3_000_000)
    by_rule = {
        "rule": "promotion.steady",
        "policy_version": "7",
        "approval_id": "ap-1",
        "why": "ten in a row",
    }
    for kind, grounds, reason in (
        (events_pb2.AgentPromoted, by_rule, "promotion.steady (policy 7, approval ap-1): ten in a row"),
        (events_pb2.AgentPromoted, {}, "PROMOTED"),
        (events_pb2.AgentDemoted, {"why": "too quick"}, "DEMOTED: too quick"),
    ):
        assert move(kind, by="key:bob", **grounds) == replace(given, reason=reason)


STORY = (
    told_as(
        1,
        Requested(
            "ap-1", "sre-1", "run-1", "t", "ansible.check", "web-1", "sha256:00", "key:alice", "to be sure",
            BEGIN_US, BEGIN_US + MINUTE_US,
        ),
    ),
    told_as(4, Answered("ap-1", True, "key:bob", "go on", BEGIN_US + 10)),
    told_as(6, Used("ap-1", "d-1", BEGIN_US + 20)),
)  # fmt: skip


def row_after(*told: Told) -> ApprovalRow:
    tables = Tables()
    for each in told:
        tables.tell(each)
    row = tables.rows[ApprovalRow][KEY]
    assert isinstance(row, ApprovalRow)
    return row


def test_an_approval_is_pending_answered_used_and_expires_as_policy_says() -> None:
    early, late = BEGIN_US + MINUTE_US - 1, BEGIN_US + MINUTE_US
    assert [row_after(*STORY[:n]).state_at(early) for n in (1, 2, 3)] == ["PENDING", "APPROVED", "USED"]
    assert [row_after(*STORY[:n]).state_at(late) for n in (1, 2, 3)] == ["EXPIRED", "EXPIRED", "USED"]
    rejected = row_after(STORY[0], told_as(3, Answered("ap-1", False, "key:bob", "no", BEGIN_US)))
    assert (rejected.state_at(early), rejected.state_at(late)) == ("REJECTED", "REJECTED")
    whole = row_after(*STORY)
    assert (whole.sequence, whole.answered_sequence, whole.used_sequence) == (1, 4, 6)
    assert (whole.answered_by, whole.comment, whole.decision_id) == ("key:bob", "go on", "d-1")


@given(st.lists(st.integers(0, 2), max_size=8))
def test_an_approval_that_is_told_again_stays_as_it_is(again: list[int]) -> None:
    assert row_after(*STORY, *(STORY[n] for n in again)) == row_after(*STORY)


def test_an_answer_to_nothing_changes_nothing() -> None:
    tables = Tables()
    tables.tell(*STORY[1:])
    assert tables.rows == {}
