"""Tiers over gRPC: up and down by people, by rules over what runs came to, and by approval; parents and suspension."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from kernel.faults import Denied, Fault, NotFound, Refused, Unavailable
from provost.orchestrator.v1 import events_pb2 as runs
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost.state.v1 import events_pb2 as state
from services.policy.domain.standing import AgentPromoted
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_approvals import decided
from tests.rpc.policy.test_votes import in_force, votes

ADMIN: dict[str, Any] = {"actor": "key:root", "roles": ("admin",)}
T1, T2, T3, T4 = (
    pb.TIER_T1_OPERATOR,
    pb.TIER_T2_BUILDER,
    pb.TIER_T3_EXECUTOR,
    pb.TIER_T4_ARCHITECT,
)
RULES = """
promotions:
  - {id: steady, tier: T1_OPERATOR, compliant_in_row: 3, needs_approval: false}
  - {id: senior, tier: T2_BUILDER, compliant_in_row: 2}
  - {id: summit, tier: T3_EXECUTOR, compliant_in_row: 1}
demotions:
  - {id: careless, tier: T2_BUILDER, violations: 1}
approvals:
  - {id: tiers, actions: [agent.promote], needs: 2}
"""


async def put(running: Running, event: Message, subject: str) -> None:
    """As another service would announce it."""
    name = event.DESCRIPTOR.full_name
    headers = f"NATS/1.0\r\nce-type: {name}\r\nce-id: {subject}\r\n\r\n".encode()
    full = f"evt.default.{subject}.{event.DESCRIPTOR.name}"
    await running.follower.reached(running.log.put(full, event.SerializeToString(), headers))


async def run(
    running: Running,
    run_id: str,
    agent_id: str = "sre-1",
    *,
    acts: bool = True,
    verified: bool = True,
    holds: bool = True,
    end: int = orchestrator_pb2.RUN_STATE_COMPLETED,
    compliant: bool = True,
) -> None:
    """A run, from its effect to its end."""
    who: dict[str, Any] = {"run_id": run_id, "agent_id": agent_id}
    if acts:
        await put(running, runs.EffectIntended(**who, effect_id="e1"), f"orchestrator.run.{run_id}")
    if verified:
        check = orchestrator_pb2.Check(name="no action failed", ok=holds)
        await put(running, runs.RunVerified(**who, checks=[check]), f"orchestrator.run.{run_id}")
    ended = runs.RunEnded(**who, state=end, compliant=compliant)  # type: ignore[arg-type]
    await put(running, ended, f"orchestrator.run.{run_id}")


async def violation(running: Running, n: int, agent_id: str = "sre-1") -> None:
    event = state.ErrorRecorded(agent_id=agent_id, error_type="FORBIDDEN", procedure_violation=True)
    event.at.GetCurrentTime()
    name = event.DESCRIPTOR.full_name
    headers = f"NATS/1.0\r\nce-type: {name}\r\nce-id: violation-{n}\r\n\r\n".encode()
    subject = f"evt.default.state.agent.{agent_id}.ErrorRecorded"
    await running.follower.reached(running.log.put(subject, event.SerializeToString(), headers))


async def agent_of(running: Running, agent_id: str = "sre-1") -> pb.Agent:
    agent: pb.Agent = (await running.call("GetAgent", pb.GetAgentRequest(agent_id=agent_id))).agent
    return agent


async def until(running: Running, fact: Callable[[pb.Agent], bool], agent_id: str = "sre-1") -> pb.Agent:
    """The agent, once it is so."""
    async with asyncio.timeout(5):
        while not fact(agent := await agent_of(running, agent_id)):
            await asyncio.sleep(0.01)
    return agent


async def waiting(running: Running) -> list[pb.Approval]:
    return list((await running.call("ListApprovals", pb.ListApprovalsRequest())).approvals)


async def until_asked(running: Running) -> pb.Approval:
    async with asyncio.timeout(5):
        while not (found := await waiting(running)):
            await asyncio.sleep(0.01)
    (asked,) = found
    return asked


async def moves(running: Running, kind: type[Any], agent_id: str = "sre-1") -> list[Any]:
    """What the log says of the agent's moves of one kind."""
    feed = await running.log.open((f"evt.default.policy.agent.{agent_id}.*",), 0, None)
    name = kind.DESCRIPTOR.name
    return [kind.FromString(each.payload) for each in (await feed.next()).events if each.event_type == name]


async def move(running: Running, verb: str, to_tier: int, agent_id: str = "sre-1", **who: Any) -> Any:
    request = getattr(pb, f"{verb}AgentRequest")(agent_id=agent_id, to_tier=to_tier, why="it has shown it")
    return await running.call(f"{verb}Agent", request, **(ADMIN | who))


async def test_one_tier_at_a_time(running: Running) -> None:
    await running.register()
    up = await move(running, "Promote", T2)
    assert (up.agent.tier, up.HasField("approval")) == (T2, False)
    for verb, to_tier in (("Promote", T4), ("Promote", T1), ("Demote", pb.TIER_T0_OBSERVER), ("Demote", T3)):
        with pytest.raises(Refused) as too_far:
            await move(running, verb, to_tier)
        assert too_far.value.reason == "TIER_STEP_TOO_LARGE"
    assert (await move(running, "Promote", T2)).agent.tier == T2, "it is there already"
    assert (await move(running, "Demote", T1)).agent.tier == T1
    (promoted,) = await moves(running, events_pb2.AgentPromoted)
    assert (promoted.grounds.by, promoted.grounds.why) == ("key:root", "it has shown it")
    assert (promoted.from_tier, promoted.to_tier, promoted.grounds.policy_version) == (T1, T2, "1")
    with pytest.raises(NotFound):
        await move(running, "Promote", T2, "nobody")


async def test_a_demotion_lowers_what_a_session_may_do_at_once(running: Running) -> None:
    await running.register(tier=T2)
    await running.packet()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    secret = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    token = (await running.call("CreateSession", secret)).session_token
    asked = pb.AuthorizeRequest(session_token=token, context=context(), action=action("service.restart"))

    async def answer() -> pb.Decision:
        asked.request_id = ""
        given: pb.Decision = (
            await running.call("Authorize", asked, actor="key:edge", roles=("operator",))
        ).decision
        return given

    assert (await answer()).verdict == pb.VERDICT_ALLOW
    await move(running, "Demote", T1)
    refused = await answer()
    assert (refused.verdict, refused.reason, refused.tier) == (pb.VERDICT_DENY, "TIER_TOO_LOW", T1)


async def test_t4_is_only_for_whom_people_have_approved(running: Running) -> None:
    await running.register(tier=T3)
    waits = await move(running, "Promote", T4)
    assert (waits.agent.tier, waits.approval.state) == (T3, pb.APPROVAL_STATE_PENDING)
    asked = waits.approval
    assert (asked.action.name, asked.action.target, asked.requested_by) == (
        "agent.promote",
        "sre-1",
        "key:root",
    )
    assert dict(asked.action.parameters)["to"] == "T4_ARCHITECT"
    assert (await move(running, "Promote", T4)).approval.approval_id == asked.approval_id, "it waits already"
    with pytest.raises(Denied) as own:
        await votes(running, asked.approval_id, "root", roles=("admin",))
    assert own.value.reason == "SELF_APPROVAL"
    assert (await agent_of(running)).tier == T3
    await votes(running, asked.approval_id, "ann")
    await until(running, lambda agent: agent.tier == T4)
    (promoted,) = await moves(running, events_pb2.AgentPromoted)
    assert (promoted.grounds.approval_id, promoted.grounds.by) == (asked.approval_id, "key:ann")
    shown = await running.call("GetApproval", pb.GetApprovalRequest(approval_id=asked.approval_id))
    assert shown.approval.state == pb.APPROVAL_STATE_USED
    await move(running, "Demote", T3)
    await running.policy.trust.settle("default", "sre-1")
    assert (await agent_of(running)).tier == T3


@pytest.mark.parametrize("vote", [pb.VOTE_REJECT, pb.VOTE_REQUEST_CHANGES])
async def test_who_is_not_approved_stays_where_it_is(running: Running, vote: int) -> None:
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    await votes(running, asked.approval_id, "ann", vote)
    await running.policy.trust.settle("default", "sre-1")
    assert (await agent_of(running)).tier == T3
    assert (await move(running, "Promote", T4)).approval.approval_id != asked.approval_id, (
        "it may be asked anew"
    )


async def test_an_approval_is_for_the_tier_the_agent_had(running: Running) -> None:
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    await move(running, "Demote", T2)
    await move(running, "Promote", T3)
    await votes(running, asked.approval_id, "ann")
    await running.policy.trust.settle("default", "sre-1")
    assert (await agent_of(running)).tier == T3


async def test_fault_25_nobody_raises_their_own_tier(running: Running) -> None:
    await running.register(tier=T3)
    tries: tuple[tuple[dict[str, Any], str], ...] = (
        ({"actor": "agent:sre-1", "roles": ("operator",)}, "ROLE_MISSING"),
        ({"actor": "agent:sre-1", "roles": ("admin",)}, "ROLE_MISSING"),
        ({"actor": "key:edge", "roles": ("operator", "approver")}, "ROLE_MISSING"),
    )
    for who, reason in tries:
        with pytest.raises(Denied) as refused:
            await move(running, "Promote", T4, **who)
        assert refused.value.reason == reason
    asked = (await move(running, "Promote", T4)).approval
    for actor in ("agent:sre-1", "key:root"):
        with pytest.raises(Denied) as own:
            await votes(running, asked.approval_id, "", actor=actor, roles=("approver", "admin"))
        assert own.value.reason == "SELF_APPROVAL"
    kept = [each for each in await running.decisions() if each.reason == "SELF_APPROVAL"]
    assert [each.approval_id for each in kept] == [asked.approval_id] * 2
    assert (await agent_of(running)).tier == T3
    assert (await decided(running, asked.approval_id, action=asked.action)).verdict == pb.VERDICT_DENY


async def test_outcomes_move_an_agent_one_tier_and_are_counted_anew(running: Running) -> None:
    await in_force(running, RULES)
    await running.register()
    for n in range(2):
        await run(running, f"r{n}")
    before = await agent_of(running)
    assert (before.tier, before.record.compliant_in_row, before.record.verified_runs) == (T1, 2, 2)
    await run(running, "r2")
    after = await until(running, lambda agent: agent.tier == T2)
    assert (after.record.compliant_in_row, after.record.verified_runs) == (0, 3)
    (promoted,) = await moves(running, events_pb2.AgentPromoted)
    grounds = promoted.grounds
    assert (grounds.rule, grounds.policy_version, grounds.by) == ("promotion.steady", "2", "service:policy")
    assert (grounds.compliant_in_row, grounds.violations, list(grounds.run_ids)) == (3, 0, ["r0", "r1", "r2"])
    await violation(running, 1)
    fallen = await until(running, lambda agent: agent.tier == T1)
    assert (fallen.record.violations, fallen.record.violations_at_tier) == (1, 0)
    (demoted,) = await moves(running, events_pb2.AgentDemoted)
    assert (demoted.grounds.rule, demoted.grounds.violations) == ("demotion.careless", 1)


async def test_what_does_not_count(running: Running) -> None:
    await in_force(running, RULES)
    await running.register()
    await run(running, "nothing-done", acts=False)
    await run(running, "not-verified", verified=False)
    await run(running, "refused", end=orchestrator_pb2.RUN_STATE_REFUSED, compliant=False)
    assert (await agent_of(running)).record.verified_runs == 0
    for n in range(2):
        await run(running, f"good-{n}")
    await run(running, "broken", holds=False, compliant=False)
    assert (await agent_of(running)).record.compliant_in_row == 0
    for n in range(2, 4):
        await run(running, f"good-{n}")
    await run(running, "failed", verified=False, end=orchestrator_pb2.RUN_STATE_FAILED, compliant=False)
    record = (await agent_of(running)).record
    assert (record.verified_runs, record.compliant_in_row) == (5, 0)
    await violation(running, 1)
    await violation(running, 1)
    assert (await agent_of(running)).record.violations == 1, "told twice, it is one"
    assert (await agent_of(running)).tier == T1


async def test_a_rule_may_need_people_and_asks_again_only_after_another_such_row(running: Running) -> None:
    await in_force(running, RULES)
    await running.register(tier=T2)
    await run(running, "r0")
    await run(running, "r1")
    asked = await until_asked(running)
    assert (asked.rule, asked.needed, asked.requested_by) == ("approval.tiers", 2, "service:policy")
    said = dict(asked.action.parameters)
    assert (said["rule"], said["compliant_in_row"], said["run_ids"]) == ("promotion.senior", "2", "r0,r1")
    await votes(running, asked.approval_id, "ann", pb.VOTE_REJECT)
    await run(running, "r2")
    await running.policy.trust.settle("default", "sre-1")
    assert await waiting(running) == []
    await run(running, "r3")
    again = await until_asked(running)
    assert again.approval_id != asked.approval_id
    await votes(running, again.approval_id, "ann")
    await votes(running, again.approval_id, "bob")
    await until(running, lambda agent: agent.tier == T3)
    (promoted,) = await moves(running, events_pb2.AgentPromoted)
    assert list(promoted.grounds.run_ids) == ["r0", "r1", "r2", "r3"]
    await run(running, "r4")
    summit = await until_asked(running)
    assert dict(summit.action.parameters)["to"] == "T4_ARCHITECT", "T4 is by approval, whatever the rule says"
    assert (await agent_of(running)).tier == T3


async def test_a_set_without_such_rules_moves_nobody(running: Running) -> None:
    await in_force(running, "")
    await running.register()
    for n in range(30):
        await run(running, f"r{n}")
    for n in range(3):
        await violation(running, n)
    await running.policy.trust.settle("default", "sre-1")
    agent = await agent_of(running)
    assert (agent.tier, agent.record.verified_runs, agent.record.violations_at_tier) == (T1, 30, 3)


async def test_who_controls_whom(running: Running) -> None:
    async def register(agent_id: str, tier: int, parent: str) -> pb.Agent:
        request = pb.RegisterAgentRequest(agent_id=agent_id, tier=tier, parent_agent_id=parent)  # type: ignore[arg-type]
        agent: pb.Agent = (await running.call("RegisterAgent", request, **ADMIN)).agent
        return agent

    await running.register("boss", T2)
    hand = await register("hand", T2, "boss")
    assert (hand.parent_agent_id, hand.registered_by) == ("boss", "key:root")
    await register("gone", T2, "")
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="gone", kind="operator", wait_ms=1))
    for agent_id, tier, parent in (
        ("self", T1, "self"),
        ("lost", T1, "nobody"),
        ("late", T1, "gone"),
        ("high", T3, "boss"),
    ):
        with pytest.raises(Fault) as refused:
            await register(agent_id, tier, parent)
        assert refused.value.reason == "PARENT_INVALID"
    with pytest.raises(Refused) as above:
        await move(running, "Promote", T3, "hand")
    assert above.value.reason == "PARENT_INVALID"
    await move(running, "Demote", T1, "boss")
    await until(running, lambda agent: agent.tier == T1, "hand")
    (demoted,) = await moves(running, events_pb2.AgentDemoted, "hand")
    assert demoted.grounds.rule == "parent.tier"


async def test_the_suspended_get_nothing_until_they_are_resumed(running: Running) -> None:
    await running.register()
    await running.packet()
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    suspend = pb.SuspendAgentRequest(agent_id="sre-1", why="odd")
    shown = (await running.call("SuspendAgent", suspend, **ADMIN)).agent
    assert (shown.state, shown.suspend_reason) == (pb.AGENT_STATE_SUSPENDED, "odd")
    refused = await decided(running, context=context())
    assert (refused.verdict, refused.reason) == (pb.VERDICT_DENY, "AGENT_SUSPENDED")
    secret = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    with pytest.raises(Refused) as session:
        await running.call("CreateSession", secret)
    assert session.value.reason == "AGENT_SUSPENDED"
    resumed = await running.call("ResumeAgent", pb.ResumeAgentRequest(agent_id="sre-1", why="fine"), **ADMIN)
    assert resumed.agent.state == pb.AGENT_STATE_ACTIVE
    assert (await decided(running, context=context())).verdict == pb.VERDICT_ALLOW
    with pytest.raises(Denied):
        await running.call(
            "ResumeAgent", pb.ResumeAgentRequest(agent_id="sre-1"), actor="key:ops", roles=("operator",)
        )
    with pytest.raises(NotFound):
        await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="nobody"), **ADMIN)


async def test_cut_off_between_spending_the_approval_and_the_promotion_it_is_done_all_the_same(
    running: Running,
) -> None:
    await running.register(tier=T3)
    asked = (await move(running, "Promote", T4)).approval
    real, failed = running.log.append, 0

    async def fail_once(stream: Any, events: Any, **rest: Any) -> Any:
        nonlocal failed
        if isinstance(events[0], AgentPromoted) and not failed:
            failed += 1
            raise Unavailable("LOG_UNREACHABLE", "the log is away")
        return await real(stream, events, **rest)

    running.log.append = fail_once  # type: ignore[method-assign]
    await votes(running, asked.approval_id, "ann")
    await until(running, lambda agent: agent.tier == T4)
    assert failed == 1
    assert len(await moves(running, events_pb2.AgentPromoted)) == 1


async def test_what_cannot_be_read_counts_for_nothing_and_stops_nothing(running: Running) -> None:
    await running.register()
    wrong = state.ErrorRecorded(agent_id="sre-1", procedure_violation=True)
    wrong.at.seconds = 2**62
    for name, payload in (
        ("provost.state.v1.ErrorRecorded", wrong.SerializeToString()),
        ("provost.state.v1.ErrorRecorded", b"\xff\xff"),
        ("provost.orchestrator.v1.RunEnded", b"\xff\xff"),
        ("acme.v9.Unheard", b"{}"),
    ):
        header = f"NATS/1.0\r\nce-type: {name}\r\nce-id: odd\r\n\r\n".encode()
        for subject in ("state.agent.sre-1.ErrorRecorded", "orchestrator.run.r.RunEnded"):
            await running.follower.reached(running.log.put(f"evt.default.{subject}", payload, header))
    await run(running, "r0")
    record = (await agent_of(running)).record
    assert (record.verified_runs, record.violations) == (1, 0)
