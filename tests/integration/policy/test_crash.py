"""Policy killed in the middle of its work: whatever it acknowledged is there, and nobody has gained anything."""

import asyncio
import random
from typing import Any

import grpc.aio

from chassis import process
from chassis.eventlog.connection import connect
from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Fault
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost.state.v1 import events_pb2 as state_events_pb2
from provost.state.v1 import state_pb2
from services.policy.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.integration.policy.conftest import PolicyProcess

CONTEXT = pb.RunContext(
    run_id="run-1", task_id="task-1", agent_id="sre-1", mode=pb.MODE_AUTO, fencing_token=1
)


class Caller:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub: Any = PolicyServiceStub(channel)

    async def call(
        self, method: str, request: Any, *, actor: str = "service:tests", roles: Any = ("service",)
    ) -> Any:
        cause = Cause("default", "", actor, process.now(), "run-1")
        return await client.call(
            getattr(self.stub, method), request, cause, timeout_seconds=10.0, roles=roles
        )


async def put_packet(connection: Connection, agent_id: str, tenant: str = "default") -> int:
    """As state would announce it."""
    packet = state_pb2.Packet(agent_id=agent_id, task_id="task-1")
    payload = state_events_pb2.PacketIssued(packet=packet).SerializeToString()
    header = b"NATS/1.0\r\nce-type: provost.state.v1.PacketIssued\r\n\r\n"
    _, answer = await connection.ask(
        f"evt.{tenant}.state.agent.{agent_id}.PacketIssued", payload, header=header, timeout_seconds=30
    )
    assert b'"seq"' in answer, answer
    return int(answer.split(b'"seq":')[1].split(b",")[0].rstrip(b"}").strip())


async def recorded(connection: Connection) -> list[events_pb2.DecisionRecord]:
    """Every decision in the log."""
    log = JetStreamLog(connection, CODEC, "tests")
    feed = await log.open(("evt.default.policy.decisions.*.*",), 0, None)
    found: list[events_pb2.DecisionRecord] = []
    while True:
        batch = await feed.next()
        for each in batch.events:
            found.extend(events_pb2.DecisionsMade.FromString(each.payload).decisions)
        if batch.lag == 0:
            await feed.close()
            return found


def ask(
    request_id: str, name: str = "diagnostics.memory", sequence: int = 0, **fields: Any
) -> pb.AuthorizeRequest:
    context = pb.RunContext()
    context.CopyFrom(CONTEXT)
    context.at_least_sequence = sequence
    where = "production" if name == "service.restart" else "sandbox"  # there it needs a person
    action = pb.Action(action_id="a1", name=name, target="localhost", environment=where)
    return pb.AuthorizeRequest(request_id=request_id, context=context, action=action, **fields)


async def test_killed_while_deciding_nothing_acknowledged_is_lost(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    async with policy.channel() as channel:
        caller = Caller(channel)
        await caller.call(
            "RegisterAgent", pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        )
        sequence = await put_packet(events, "sre-1")
        await caller.call("Authorize", ask("first", sequence=sequence))
        answered: dict[str, pb.Decision] = {}
        enough, done = asyncio.Event(), False

        async def keep_asking(worker: int) -> None:
            n = 0
            while not done:
                n += 1
                request_id = f"w{worker}-{n}"
                try:
                    answered[request_id] = (await caller.call("Authorize", ask(request_id))).decision
                except Fault:
                    continue  # not answered, so nothing is owed
                if len(answered) % 50 == 0:
                    enough.set()

        workers = [asyncio.create_task(keep_asking(n)) for n in range(16)]
        for _ in range(3):
            enough.clear()
            async with asyncio.timeout(30):
                await enough.wait()
            policy.kill()
            policy.start()
        done = True
        await asyncio.gather(*workers)
    kept = {each.decision_id: each for each in await recorded(events)}
    assert len(answered) >= 100
    missing = [decision.decision_id for decision in answered.values() if decision.decision_id not in kept]
    assert not missing, f"{len(missing)} of {len(answered)} acknowledged decisions are not in the log"
    for decision in answered.values():
        assert kept[decision.decision_id].verdict == decision.verdict == pb.VERDICT_ALLOW


async def test_killed_at_any_moment_a_spent_approval_stays_spent(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    """kill -9 between spending an approval and recording its decision: the retry gets it, nobody else does."""
    async with policy.channel() as channel:
        caller = Caller(channel)
        await caller.call(
            "RegisterAgent", pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T3_EXECUTOR)
        )
        sequence = await put_packet(events, "sre-1")
        for n in range(4):
            request = ask(f"needs-{n}", "service.restart", sequence)
            asked = pb.RequestApprovalRequest(
                request_id=f"ap-{n}",
                context=request.context,
                action=request.action,
                requested_by="key:operator",
            )
            approval_id = (await caller.call("RequestApproval", asked)).approval.approval_id
            yes = pb.AnswerApprovalRequest(request_id=f"yes-{n}", approval_id=approval_id, approve=True)
            await caller.call("AnswerApproval", yes, actor="key:approver", roles=("approver",))
            request = ask(f"use-{n}", "service.restart", sequence, approval_id=approval_id)
            first = asyncio.create_task(caller.call("Authorize", request))
            await asyncio.wait({first}, timeout=random.Random(n).uniform(0.0, 0.006))
            policy.kill()
            policy.start()
            await asyncio.wait({first})
            first.exception()
            again = (await caller.call("Authorize", request)).decision
            assert (again.verdict, again.reason) == (pb.VERDICT_ALLOW, "ALLOWED_BY_APPROVAL")
            thief = ask(f"steal-{n}", "service.restart", sequence, approval_id=approval_id)
            assert (await caller.call("Authorize", thief)).decision.reason == "APPROVAL_USED"


async def test_after_a_restart_everything_is_as_it_was(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    async with policy.channel() as channel:
        caller = Caller(channel)
        for agent_id in ("sre-1", "sre-2"):
            await caller.call(
                "RegisterAgent", pb.RegisterAgentRequest(agent_id=agent_id, tier=pb.TIER_T1_OPERATOR)
            )
        made = await caller.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
        credentials = pb.CreateSessionRequest(request_id="s1", role_id=made.role_id, secret_id=made.secret_id)
        token = (await caller.call("CreateSession", credentials)).session_token
        await caller.call(
            "RevokeAgent", pb.RevokeAgentRequest(request_id="r", agent_id="sre-2", kind="operator")
        )
        before = await caller.call("ListAgents", pb.ListAgentsRequest())
        sequence = await put_packet(events, "sre-1")
        policy.kill()
        policy.start()
        assert await caller.call("ListAgents", pb.ListAgentsRequest()) == before
        again = await caller.call("CreateSession", credentials)
        assert again.session_token
        request = ask("with-token", sequence=sequence, session_token=token)
        decision = (await caller.call("Authorize", request, actor="key:edge", roles=("operator",))).decision
        assert decision.verdict == pb.VERDICT_ALLOW
        shown = await caller.call("GetPolicySet", pb.GetPolicySetRequest())
        assert shown.version == "1"
        assert shown.sequence > 0, "the default set was not put on record"


async def test_two_replicas_agree_on_a_revocation_and_on_an_approval(
    policy: PolicyProcess, other: PolicyProcess, events: Connection
) -> None:
    async with policy.channel() as one, other.channel() as two:
        here, there = Caller(one), Caller(two)
        register = pb.RegisterAgentRequest(request_id="r", agent_id="sre-1", tier=pb.TIER_T3_EXECUTOR)
        first = await here.call("RegisterAgent", register)
        assert (await there.call("RegisterAgent", register)).sequence == first.sequence
        sequence = await put_packet(events, "sre-1")
        request = ask("x", "service.restart", sequence)
        asked = pb.RequestApprovalRequest(
            request_id="ap", context=request.context, action=request.action, requested_by="key:operator"
        )
        approval_id = (await here.call("RequestApproval", asked)).approval.approval_id
        yes = pb.AnswerApprovalRequest(request_id="yes", approval_id=approval_id, approve=True)
        sequence = (await here.call("AnswerApproval", yes, actor="key:ann", roles=("approver",))).sequence
        uses = [
            caller.call("Authorize", ask(f"use-{n}", "service.restart", sequence, approval_id=approval_id))
            for n, caller in enumerate((here, there) * 4)
        ]
        decisions = [each.decision for each in await asyncio.gather(*uses)]
        assert sorted(each.reason for each in decisions) == ["ALLOWED_BY_APPROVAL"] + ["APPROVAL_USED"] * 7
        revoke = pb.RevokeAgentRequest(request_id="v", agent_id="sre-1", kind="operator")
        sequence = (await here.call("RevokeAgent", revoke)).sequence
        refused = (await there.call("Authorize", ask("late", sequence=sequence))).decision
        assert refused.reason == "AGENT_REVOKED"


async def test_nats_gone_for_a_while_no_answer_is_given_that_is_not_kept(
    policy: PolicyProcess, nats_server: NatsServer, events: Connection
) -> None:
    async with policy.channel() as channel:
        caller = Caller(channel)
        await caller.call(
            "RegisterAgent", pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        )
        sequence = await put_packet(events, "sre-1")
        await caller.call("Authorize", ask("before", sequence=sequence))
        nats_server.kill()
        asked = asyncio.create_task(caller.call("Authorize", ask("during")))
        await asyncio.wait({asked}, timeout=0.5)
        assert not asked.done() or asked.exception() is not None
        nats_server.start()
        answers = [await _outcome(asked)]
        answers.append(await _outcome(asyncio.create_task(caller.call("Authorize", ask("after")))))
    connection = await connect(nats_server.url, name="test-after")
    kept = {each.decision_id for each in await recorded(connection)}
    await connection.close()
    given = [answer.decision.decision_id for answer in answers if answer is not None]
    assert given, "nothing was decided after NATS came back"
    assert set(given) <= kept


async def _outcome(task: "asyncio.Task[Any]") -> Any:
    try:
        return await task
    except Fault:
        return None
