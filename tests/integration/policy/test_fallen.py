"""A policy that dies between an agent's revocation and those of its children: these have lost their power as well."""

import asyncio
from datetime import timedelta

from chassis import process
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from kernel.events import Cause, Head, Stream
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.revocation import AgentRevoked
from services.policy.wire import CODEC
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import Caller, ask, put_packet


async def test_children_of_the_revoked_have_no_power_whenever_policy_is_back(
    policy: PolicyProcess, events: Connection
) -> None:
    async with policy.channel() as channel:
        caller = Caller(channel)
        lead = pb.RegisterAgentRequest(agent_id="lead", tier=pb.TIER_T1_OPERATOR)
        registered = await caller.call("RegisterAgent", lead)
        child = pb.RegisterAgentRequest(agent_id="sre-1", parent_agent_id="lead", tier=pb.TIER_T1_OPERATOR)
        await caller.call("RegisterAgent", child)
        sequence = await put_packet(events, "sre-1")
        before = (await caller.call("Authorize", ask("before", sequence=sequence))).decision
        assert before.verdict == pb.VERDICT_ALLOW
    policy.kill()
    log, at = JetStreamLog(events, CODEC, "tests"), process.now() - timedelta(minutes=11)
    last_word = AgentRevoked("lead", "operator", "it died behind this", "key:ops", at)
    stream = Stream("default", "policy", "agent", "lead")
    after, cause = Head(registered.sequence, 1), Cause("default", "revoke lead", "key:ops", at)
    await log.append(stream, (last_word,), after=after, cause=cause)
    await asyncio.to_thread(policy.start)
    async with policy.channel() as channel:
        caller = Caller(channel)
        refused = (await caller.call("Authorize", ask("after", sequence=sequence))).decision
        assert (refused.verdict, refused.reason, refused.permit) == (pb.VERDICT_DENY, "AGENT_REVOKED", "")
        shown = (await caller.call("GetAgent", pb.GetAgentRequest(agent_id="sre-1"))).agent
        assert shown.state == pb.AGENT_STATE_REVOKED
    async with asyncio.timeout(5):  # everybody else learns of it by the child's own event
        feed = await log.open(("evt.default.policy.agent.sre-1.AgentRevoked",), 0, None)
        while not (told := (await feed.next()).events):
            pass
        await feed.close()
    assert events_pb2.AgentRevoked.FromString(told[0].payload).kind == "parent_revoked"
