"""Revocations: effective whatever becomes of the receipt, with all children, and told honestly."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis import process
from kernel.events import Cause, Head, Stream
from kernel.faults import Fault, Unavailable
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost_sdk.receipts import receipt_digest
from services.policy.domain.agent import AgentRegistered
from services.policy.domain.revocation import AgentRevoked, PowerLost
from services.policy.domain.tier import Tier
from services.policy.handlers.unconfirmed import GRACE, RECENT
from tests.rpc.policy.conftest import Clock, Running, action, context

LOST = (
    PowerLost("tokens", "policy", "r1", 1.25, 1, "a.b.c"),
    PowerLost("locks", "state", "r2", 3.5, 1, "d.e.f"),
)


async def refused(asked: Any) -> str:
    with pytest.raises(Fault) as refusal:
        await asked
    return refusal.value.reason


async def child(running: Running, agent_id: str, parent: str, tier: int = pb.TIER_T1_OPERATOR) -> None:
    request = pb.RegisterAgentRequest(agent_id=agent_id, tier=tier, parent_agent_id=parent)  # type: ignore[arg-type]
    await running.call("RegisterAgent", request)


async def receipt_of(running: Running, agent_id: str) -> pb.RevocationReceipt:
    request = pb.GetRevocationReceiptRequest(agent_id=agent_id)
    receipt: pb.RevocationReceipt = (await running.call("GetRevocationReceipt", request)).receipt
    return receipt


async def revocations(running: Running) -> dict[str, events_pb2.AgentRevoked]:
    feed = await running.log.open(("evt.*.policy.agent.*.AgentRevoked",), 0, None)
    found = (await feed.next()).events
    return {each.stream.id: events_pb2.AgentRevoked.FromString(each.payload) for each in found}


async def test_the_receipt_says_who_lost_what_and_who_was_silent(running: Running) -> None:
    await running.register()
    running.words.lost, running.words.silent = LOST, ("actuators/r3:permits",)
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", wait_ms=700))
    receipt = answer.receipt
    assert [(each.surface, each.service, each.powerless_ms, each.statement) for each in receipt.lost] == [
        ("tokens", "policy", 1.25, "a.b.c"),
        ("locks", "state", 3.5, "d.e.f"),
    ]
    assert list(receipt.silent) == ["actuators/r3:permits"]
    assert receipt.revocation_sequence == answer.sequence
    assert receipt.waited_ms >= 0
    assert running.words.asked == [("default", "sre-1", answer.sequence, 0.7, False)]
    assert await receipt_of(running, "sre-1") == receipt


async def test_the_digest_that_policy_signs_is_the_one_that_others_compute(running: Running) -> None:
    import json
    from base64 import urlsafe_b64decode

    await running.register()
    running.words.lost, running.words.silent = LOST, ("x/y:z",)
    receipt = (await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))).receipt
    claims = json.loads(urlsafe_b64decode(receipt.signature.split(".")[1] + "=="))
    assert claims["receipt"] == receipt_digest(receipt)
    assert (claims["sub"], claims["tenant"]) == ("sre-1", "default")


async def test_sent_again_it_reads_the_receipt(running: Running) -> None:
    await running.register()
    request = pb.RevokeAgentRequest(request_id="once", agent_id="sre-1")
    first = await running.call("RevokeAgent", request)
    running.words.lost = LOST
    again = await running.call("RevokeAgent", request)
    assert again.receipt == first.receipt
    assert len(running.words.asked) == 1
    other = pb.RevokeAgentRequest(agent_id="sre-1")
    assert await refused(running.call("RevokeAgent", other)) == "AGENT_ALREADY_REVOKED"


async def test_what_cannot_be_collected_costs_the_receipt_and_not_the_revocation(running: Running) -> None:
    await running.register()
    running.words.fails = Unavailable("LOG_UNREACHABLE", "gone")
    request = pb.RevokeAgentRequest(request_id="once", agent_id="sre-1")
    answer = await running.call("RevokeAgent", request)
    assert answer.agent.state == pb.AGENT_STATE_REVOKED
    assert not answer.HasField("receipt")
    asked = pb.GetRevocationReceiptRequest(agent_id="sre-1")
    assert await refused(running.call("GetRevocationReceipt", asked)) == "RECEIPT_UNKNOWN"
    running.words.fails, running.words.lost = None, LOST
    assert len((await running.call("RevokeAgent", request)).receipt.lost) == 2
    assert running.words.asked[-1][-1], "what was said before was not asked for again"


async def test_a_receipt_that_cannot_be_written_costs_no_more(running: Running) -> None:
    await running.register()
    collect = running.words.collect

    async def full(*asked: Any, **more: Any) -> Any:
        running.log._kept.full = True
        return await collect(*asked, **more)

    running.words.collect = full  # type: ignore[method-assign]
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
    assert answer.agent.state == pb.AGENT_STATE_REVOKED
    assert not answer.HasField("receipt")


async def test_children_are_revoked_with_it_at_any_depth(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss")
    await child(running, "b", "a")
    await child(running, "c", "boss")
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="c"))
    await running.register("stranger")
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="boss", kind="operator"))
    assert list(answer.receipt.children) == ["a", "b"], "c was revoked before, by itself"
    events = await revocations(running)
    assert set(events) == {"boss", "a", "b", "c"}
    assert (events["a"].kind, events["a"].details) == ("parent_revoked", "its parent boss was revoked")
    assert events["b"].kind == "parent_revoked"
    assert events["b"].details == "boss, which it descends from, was revoked"
    for agent_id in ("a", "b"):
        assert (await receipt_of(running, agent_id)).agent_id == agent_id


async def test_who_is_silent_about_children_is_waited_for_once(running: Running) -> None:
    await running.register("boss")
    await child(running, "a", "boss")
    await child(running, "b", "a")
    collect, all_asked = running.words.collect, asyncio.Barrier(3)

    async def together(*asked: Any, **how: Any) -> Any:
        await asyncio.wait_for(all_asked.wait(), 10)  # nobody is answered before all have been asked about
        return await collect(*asked, **how)

    running.words.collect = together  # type: ignore[method-assign]
    answer = await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="boss"))
    assert list(answer.receipt.children) == ["a", "b"]


@pytest.mark.parametrize("wait_ms", [-1, 10_001, 2**31 - 1])
async def test_nobody_waits_for_ever(running: Running, wait_ms: int) -> None:
    await running.register()
    request = pb.RevokeAgentRequest(agent_id="sre-1", wait_ms=wait_ms)
    assert await refused(running.call("RevokeAgent", request)) == "FIELD_INVALID"
    assert not await revocations(running), "half of it was done"


async def test_without_a_revocation_there_is_no_receipt(running: Running) -> None:
    await running.register()
    for agent_id, reason in (("sre-1", "RECEIPT_UNKNOWN"), ("nobody", "AGENT_UNKNOWN")):
        asked = pb.GetRevocationReceiptRequest(agent_id=agent_id)
        assert await refused(running.call("GetRevocationReceipt", asked)) == reason
    assert (
        await refused(running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="nobody")))
        == "AGENT_UNKNOWN"
    )


async def test_what_another_replica_left_unconfirmed_is_confirmed(running: Running, clock: Clock) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss")
    running.words.fails = Unavailable("LOG_UNREACHABLE", "the replica dies here")
    sequence = (await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="boss"))).sequence
    running.words.fails, running.words.lost = None, LOST
    unconfirmed = running.policy.unconfirmed
    unconfirmed.revoked("default", "boss", sequence, datetime.now(UTC))
    assert await unconfirmed.settle() == 0, "whoever revoked it may still be at it"
    clock.ahead = GRACE + timedelta(seconds=1)
    assert await unconfirmed.settle() == 1
    receipt = await receipt_of(running, "boss")
    assert list(receipt.children) == ["a"]
    assert receipt.waited_ms >= GRACE.total_seconds() * 1000
    assert running.words.asked[-1][-1], "what was said before was not asked for again"
    unconfirmed.confirmed("default", "boss")
    assert await unconfirmed.settle() == 0


async def test_what_was_revoked_long_ago_gets_no_receipt_any_more(running: Running, clock: Clock) -> None:
    await running.register()
    running.words.fails = Unavailable("LOG_UNREACHABLE", "the replica dies here")
    sequence = (await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))).sequence
    running.words.fails = None
    running.policy.unconfirmed.revoked("default", "sre-1", sequence, datetime.now(UTC))
    clock.ahead = RECENT + timedelta(seconds=1)
    await running.policy.unconfirmed.settle()
    asked = pb.GetRevocationReceiptRequest(agent_id="sre-1")
    assert await refused(running.call("GetRevocationReceipt", asked)) == "RECEIPT_UNKNOWN"
    assert await running.policy.unconfirmed.settle() == 0


async def told(running: Running, *events: AgentRegistered | AgentRevoked, after: int = 0) -> int:
    """As another replica would write it; returns its sequence once it has been read."""
    stream = Stream("default", "policy", "agent", events[0].agent_id)
    cause = Cause("default", process.new_id(), "key:op", events[0].at)
    appended = await running.log.append(stream, events, after=Head(after, 1 if after else 0), cause=cause)
    await running.follower.reached(appended.sequence)
    return appended.sequence


async def test_a_child_registered_while_its_parent_was_revoked_is_revoked_too(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="boss"))
    at = datetime.now(UTC)
    await told(running, AgentRegistered("late", Tier.T1_OPERATOR, "", "late.x", at, "boss", "key:op"))
    await running.packet("late")
    asked = pb.AuthorizeRequest(context=context("late"), action=action())
    assert (await running.call("Authorize", asked)).decision.reason == "AGENT_REVOKED"
    assert await running.policy.unconfirmed.revoke_fallen() == 0
    assert (await revocations(running))["late"].kind == "parent_revoked"


async def test_children_have_no_power_from_the_parents_revocation_on(running: Running) -> None:
    """Whoever revoked it died before it wrote anything about them, and long ago at that."""
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss")
    await child(running, "b", "a")
    roles = {}
    for agent_id in ("a", "b"):
        roles[agent_id] = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id=agent_id))
        await running.packet(agent_id)
    long_ago = datetime.now(UTC) - RECENT - timedelta(minutes=1)
    boss = running.policy.agents._agents.head("default", "boss").sequence
    await told(running, AgentRevoked("boss", "operator", "", "key:op", long_ago), after=boss)
    for agent_id, secret in roles.items():
        asked = pb.AuthorizeRequest(context=context(agent_id), action=action())
        decision = (await running.call("Authorize", asked)).decision
        assert (decision.verdict, decision.reason, decision.permit) == (pb.VERDICT_DENY, "AGENT_REVOKED", "")
        said = await running.call("Explain", pb.ExplainRequest(context=context(agent_id), action=action()))
        assert "with 'boss', which controls it" in said.decision.explanation, said
        reserved = pb.ReserveBudgetRequest(context=context(agent_id), amounts=pb.Amounts(tokens=1))
        assert await refused(running.call("ReserveBudget", reserved)) == "AGENT_REVOKED"
        session = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id)
        assert await refused(running.call("CreateSession", session)) == "AGENT_REVOKED"
        up = pb.PromoteAgentRequest(agent_id=agent_id, to_tier=pb.TIER_T2_BUILDER)
        assert (
            await refused(running.call("PromoteAgent", up, actor="key:root", roles=("admin",)))
            == "AGENT_REVOKED"
        )
        shown = (await running.call("GetAgent", pb.GetAgentRequest(agent_id=agent_id))).agent
        assert shown.state == pb.AGENT_STATE_REVOKED
        assert shown.revoke_reason == "parent_revoked: boss, which controls it, was revoked"
    under = pb.RegisterAgentRequest(agent_id="c", tier=pb.TIER_T1_OPERATOR, parent_agent_id="b")
    assert await refused(running.call("RegisterAgent", under)) == "PARENT_INVALID"
    assert set(await revocations(running)) == {"boss"}, "nobody else has been told yet"
    assert await running.policy.unconfirmed.revoke_fallen() == 0
    events = await revocations(running)
    assert {each: events[each].kind for each in ("a", "b")} == dict.fromkeys("ab", "parent_revoked")
    assert await running.policy.unconfirmed.revoke_fallen() == 0
    assert len(running.log.recorded()) == len(
        {each.event_id or each.sequence for each in running.log.recorded()}
    )


async def test_one_child_that_cannot_be_revoked_keeps_no_other(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    for agent_id in ("a", "b"):
        await child(running, agent_id, "boss")
    running.log.put(
        "evt.default.policy.agent.a.AgentDemoted", b"\xff", b"NATS/1.0\r\nce-type: x.Unknown\r\n\r\n"
    )
    boss = running.policy.agents._agents.head("default", "boss").sequence
    await told(running, AgentRevoked("boss", "operator", "", "key:op", datetime.now(UTC)), after=boss)
    assert await running.policy.unconfirmed.revoke_fallen() == 1, "one of them cannot be read"
    assert set(await revocations(running)) == {"boss", "b"}


async def test_a_revocation_that_cannot_be_read_takes_the_childrens_power(running: Running) -> None:
    await running.register("boss", pb.TIER_T2_BUILDER)
    await child(running, "a", "boss")
    await running.packet("a")
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.AgentRevoked\r\n\r\n"
    damaged = running.log.put("evt.default.policy.agent.boss.AgentRevoked", b"\xff\xff", headers)
    await running.follower.reached(damaged)
    asked = pb.AuthorizeRequest(context=context("a"), action=action())
    assert (await running.call("Authorize", asked)).decision.reason == "AGENT_REVOKED"
    late = pb.RegisterAgentRequest(agent_id="b", tier=pb.TIER_T1_OPERATOR, parent_agent_id="a")
    assert await refused(running.call("RegisterAgent", late)) == "PARENT_INVALID"
    assert await running.policy.unconfirmed.revoke_fallen() == 0
    written = running.log.recorded()[-1]
    assert events_pb2.AgentRevoked.FromString(written.payload).details == "its parent boss was revoked"
    assert written.stream.id == "a"


async def test_no_power_is_said_to_be_gone_before_the_revocation_is_known(running: Running) -> None:
    await running.register()
    with pytest.raises(RuntimeError):
        await running.policy.taking.tokens("default", "sre-1")
