"""Votes, approvals and tiers across kill -9 of a real policy: nothing said is lost, and nothing is done twice."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from kernel.faults import Fault, Refused
from provost.orchestrator.v1 import events_pb2 as runs
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from services.policy.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import Caller, ask, put_packet

ADMIN: dict[str, Any] = {"actor": "key:root", "roles": ("admin",)}
RULES = """
approvals:
  - {id: sandbox, environments: [sandbox], needs: 2, approvers: ["key:ann", "key:bob", "key:cec"]}
promotions:
  - {id: steady, tier: T1_OPERATOR, compliant_in_row: 2, needs_approval: false}
"""


async def in_force(caller: Caller, rules: str = RULES) -> None:
    document = (await caller.call("GetPolicySet", pb.GetPolicySetRequest())).document
    rules = document.partition("\n# Whatever the mode")[0].replace('version: "1"', 'version: "2"') + rules
    await caller.call(
        "PublishPolicySet", pb.PublishPolicySetRequest(document=rules, replaces_version="1"), **ADMIN
    )


async def vote(caller: Caller, approval_id: str, by: str) -> pb.Approval:
    request = pb.AnswerApprovalRequest(approval_id=approval_id, vote=pb.VOTE_APPROVE)
    answer = await caller.call("AnswerApproval", request, actor=f"key:{by}", roles=("approver",))
    approval: pb.Approval = answer.approval
    return approval


async def put(connection: Connection, event: Message, run_id: str, n: int) -> None:
    """As the orchestrator would announce it."""
    name = event.DESCRIPTOR.full_name
    header = f"NATS/1.0\r\nce-type: {name}\r\nce-id: {run_id}-{n}\r\n\r\n".encode()
    subject = f"evt.default.orchestrator.run.{run_id}.{event.DESCRIPTOR.name}"
    _, answer = await connection.ask(subject, event.SerializeToString(), header=header, timeout_seconds=30)
    assert b'"seq"' in answer, answer


async def good_run(connection: Connection, run_id: str) -> None:
    check = orchestrator_pb2.Check(name="no action failed", ok=True)
    who: dict[str, Any] = {"run_id": run_id, "agent_id": "sre-1"}
    for n, event in enumerate(
        (
            runs.EffectIntended(**who),
            runs.RunVerified(**who, checks=[check]),
            runs.RunEnded(**who, state=orchestrator_pb2.RUN_STATE_COMPLETED, compliant=True),
        )
    ):
        await put(connection, event, run_id, n)


async def promotions(connection: Connection) -> list[events_pb2.AgentPromoted]:
    """Every promotion in the log."""
    feed = await JetStreamLog(connection, CODEC, "tests").open(("evt.default.policy.agent.*.*",), 0, None)
    found: list[events_pb2.AgentPromoted] = []
    while True:
        batch = await feed.next()
        found += [
            events_pb2.AgentPromoted.FromString(each.payload)
            for each in batch.events
            if each.event_type == "AgentPromoted"
        ]
        if batch.lag == 0:
            await feed.close()
            return found


async def agent_when(caller: Caller, fact: Callable[[pb.Agent], bool]) -> pb.Agent:
    """The agent, once it is so."""
    agent: pb.Agent
    async with asyncio.timeout(15):
        while True:
            agent = (await caller.call("GetAgent", pb.GetAgentRequest(agent_id="sre-1"))).agent
            if fact(agent):
                break
            await asyncio.sleep(0.05)
    return agent


async def test_votes_outlive_every_kill(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    def kill() -> None:
        policy.kill()
        policy.start()

    async with policy.channel() as channel:
        caller = Caller(channel)
        await in_force(caller)
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        await caller.call("RegisterAgent", register)
        sequence = await put_packet(events, "sre-1")
        request = ask("first", sequence=sequence)
        asked = pb.RequestApprovalRequest(
            context=request.context, action=request.action, requested_by="key:operator"
        )
        approval = (await caller.call("RequestApproval", asked)).approval
        kill()
        await vote(caller, approval.approval_id, "ann")
        kill()
        again = await vote(caller, approval.approval_id, "ann")
        assert (again.state, [each.by for each in again.votes]) == (pb.APPROVAL_STATE_PENDING, ["key:ann"])
        listed = (await caller.call("ListApprovals", pb.ListApprovalsRequest())).approvals
        assert [each.approval_id for each in listed] == [approval.approval_id]
        assert (await vote(caller, approval.approval_id, "cec")).state == pb.APPROVAL_STATE_APPROVED
        kill()
        used = ask("use", sequence=sequence, approval_id=approval.approval_id)
        assert (await caller.call("Authorize", used)).decision.verdict == pb.VERDICT_ALLOW
        kill()
        stolen = ask("steal", sequence=sequence, approval_id=approval.approval_id)
        assert (await caller.call("Authorize", stolen)).decision.reason == "APPROVAL_USED"
        with pytest.raises(Refused) as closed:
            await vote(caller, approval.approval_id, "bob")
        assert closed.value.reason == "APPROVAL_CLOSED"


async def test_tiers_move_once_however_often_history_is_read(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    async with policy.channel() as channel:
        caller = Caller(channel)
        await in_force(caller)
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        await caller.call("RegisterAgent", register)
        await good_run(events, "r-1")
        policy.kill()
        await good_run(events, "r-2")  # while nobody looks
        policy.start()
        await agent_when(caller, lambda agent: agent.tier == pb.TIER_T2_BUILDER)
        down = pb.DemoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T1_OPERATOR, why="not yet")
        await caller.call("DemoteAgent", down, **ADMIN)
        await good_run(events, "r-3")
        for _ in range(2):
            policy.kill()
            policy.start()
        agent = await agent_when(caller, lambda agent: agent.record.compliant_in_row == 1)
        assert agent.tier == pb.TIER_T1_OPERATOR, "what was before the demotion counts for nothing"
        await good_run(events, "r-4")
        await agent_when(caller, lambda agent: agent.tier == pb.TIER_T2_BUILDER)
        told = [list(each.grounds.run_ids) for each in await promotions(events)]
        assert told == [["r-1", "r-2"], ["r-3", "r-4"]]


async def test_two_replicas_promote_once_when_people_have_agreed(
    policy: PolicyProcess, other: PolicyProcess, events: Connection
) -> None:
    async with policy.channel() as one, other.channel() as two:
        here, there = Caller(one), Caller(two)
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T3_EXECUTOR)
        await here.call("RegisterAgent", register)
        up = pb.PromoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T4_ARCHITECT, why="it has shown it")
        asked = (await here.call("PromoteAgent", up, **ADMIN)).approval
        await agent_when(there, lambda agent: agent.tier == pb.TIER_T3_EXECUTOR)
        await vote(here, asked.approval_id, "ann")
        for caller in (here, there):
            await agent_when(caller, lambda agent: agent.tier == pb.TIER_T4_ARCHITECT)
        policy.kill()
        policy.start()
        (promoted,) = await promotions(events)
        assert (promoted.grounds.approval_id, promoted.grounds.by) == (asked.approval_id, "key:ann")


async def test_votes_at_two_replicas_at_once_are_counted_one_by_one(
    policy: PolicyProcess, other: PolicyProcess, events: Connection
) -> None:
    """Three of six have to say yes; twelve do so at once, each person twice, half of them here and half there."""
    async with policy.channel() as one, other.channel() as two:
        here, there = Caller(one), Caller(two)
        await in_force(here, "\napprovals:\n  - {id: sandbox, needs: 3}\n")
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        await here.call("RegisterAgent", register)
        request = ask("first", sequence=await put_packet(events, "sre-1"))
        asked = pb.RequestApprovalRequest(
            context=request.context, action=request.action, requested_by="key:operator"
        )
        answer = await here.call("RequestApproval", asked)
        approval_id = answer.approval.approval_id
        known = pb.GetApprovalRequest(approval_id=approval_id, at_least_sequence=answer.sequence)
        await there.call("GetApproval", known)
        said = await asyncio.gather(
            *(vote((here, there)[n % 2], approval_id, f"p{n // 2}") for n in range(12)),
            return_exceptions=True,
        )
        assert {each.reason for each in said if isinstance(each, Fault)} <= {"APPROVAL_CLOSED"}
        async with asyncio.timeout(10):
            while (
                shown := (await here.call("GetApproval", known)).approval
            ).state == pb.APPROVAL_STATE_PENDING:
                await asyncio.sleep(0.02)  # the last yes may have been said there
        assert shown.state == pb.APPROVAL_STATE_APPROVED
        assert len(shown.votes) == len({each.by for each in shown.votes}) == 3
