"""Policy over a real channel, its log in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message
from pydantic import SecretStr

from chassis import process
from chassis.config import ServiceSettings
from chassis.eventlog.follower import Follower
from chassis.eventlog.memory import MemoryLog
from chassis.rpc import client
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from kernel.events import Cause
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub, add_PolicyServiceServicer_to_server
from provost.state.v1 import events_pb2 as state_events_pb2
from provost.state.v1 import state_pb2
from services.policy import reactor
from services.policy.adapters.budget_lane import BudgetLane
from services.policy.adapters.group_commit import GroupCommit
from services.policy.adapters.identity import HashedIdentity
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego.rules import RegoRules
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.handlers import Policy
from services.policy.ports import Means
from services.policy.rpc import HOT, PolicyServicer
from services.policy.wire import CODEC
from tests.fakes.log_time import own_time
from tests.fakes.named_reasons import every_reason_is_named
from tests.fakes.simulations import RecordedSimulations
from tests.fakes.subject_keys import MemorySubjectKeys
from tests.fakes.words import GivenWords

__all__ = ["every_reason_is_named"]
KEY = "an internal key for tests"
SERVICE = ("service",)


@dataclass
class Clock:
    """The time, which a test may move."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Running:
    """A policy service and what it stands on."""

    log: MemoryLog
    policy: Policy
    follower: Follower
    signer: FileSigner
    channel: grpc.aio.Channel
    port: int
    keys: MemorySubjectKeys
    simulations: RecordedSimulations
    words: GivenWords
    requests: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.stub: Any = PolicyServiceStub(self.channel)

    async def call(
        self,
        method: str,
        request: Message,
        *,
        actor: str = "service:tests",
        roles: tuple[str, ...] = SERVICE,
        tenant: str = "default",
    ) -> Any:
        """Call `method` as `actor`; a request without a request id gets one."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:  # type: ignore[attr-defined]
            request.request_id = f"request-{next(self.requests)}"  # type: ignore[attr-defined]
        cause = Cause(tenant, "", actor, process.now(), "run-1")
        return await client.call(getattr(self.stub, method), request, cause, roles=roles)

    async def register(
        self, agent_id: str = "sre-1", tier: int = pb.TIER_T1_OPERATOR, **who: Any
    ) -> pb.Agent:
        """At this tier; at T4 as anybody gets there: by promotion, which somebody approves."""
        at = min(tier, pb.TIER_T3_EXECUTOR)
        request = pb.RegisterAgentRequest(agent_id=agent_id, tier=at, agent_version="1.0")  # type: ignore[arg-type]
        agent: pb.Agent = (await self.call("RegisterAgent", request, **who)).agent
        return agent if tier == at else await self.to_the_top(agent_id)

    async def to_the_top(self, agent_id: str) -> pb.Agent:
        up = pb.PromoteAgentRequest(agent_id=agent_id, to_tier=pb.TIER_T4_ARCHITECT)
        asked = (await self.call("PromoteAgent", up, actor="key:root", roles=("admin",))).approval
        yes = pb.AnswerApprovalRequest(approval_id=asked.approval_id, approve=True)
        answered = await self.call("AnswerApproval", yes, actor="key:ann", roles=("approver",))
        await self.follower.reached(answered.sequence)
        await self.policy.trust.settle("default", agent_id)
        agent: pb.Agent = (await self.call("GetAgent", pb.GetAgentRequest(agent_id=agent_id))).agent
        assert agent.tier == pb.TIER_T4_ARCHITECT
        return agent

    async def packet(
        self, agent_id: str = "sre-1", *, tenant: str = "default", scope: Any = (), forbidden: Any = ()
    ) -> int:
        """An instruction packet, as state would announce it; returns its sequence once it has been read."""
        constraints = state_pb2.Constraints(scope=scope, forbidden=forbidden)
        packet = state_pb2.Packet(agent_id=agent_id, task_id="task-1", constraints=constraints)
        event = state_events_pb2.PacketIssued(packet=packet)
        headers = b"NATS/1.0\r\nce-type: provost.state.v1.PacketIssued\r\n\r\n"
        subject = f"evt.{tenant}.state.agent.{agent_id}.PacketIssued"
        sequence = self.log.put(subject, event.SerializeToString(), headers)
        await self.follower.reached(sequence)
        return sequence

    async def decisions(self, tenant: str = "default") -> list[events_pb2.DecisionRecord]:
        """Every decision in the log, oldest first."""
        found: list[events_pb2.DecisionRecord] = []
        feed = await self.log.open((f"evt.{tenant}.policy.decisions.*.*",), 0, None)
        while True:
            batch = await feed.next()
            for recorded in batch.events:
                found.extend(events_pb2.DecisionsMade.FromString(recorded.payload).decisions)
            if batch.lag == 0:
                return found


def context(agent_id: str = "sre-1", mode: int = pb.MODE_AUTO, **fields: Any) -> pb.RunContext:
    made = {"run_id": "run-1", "task_id": "task-1", "fencing_token": 1} | fields
    return pb.RunContext(agent_id=agent_id, mode=mode, **made)  # type: ignore[arg-type]


def action(name: str = "diagnostics.memory", environment: str = "sandbox", **fields: Any) -> pb.Action:
    return pb.Action(
        **({"action_id": "a1", "name": name, "target": "localhost", "environment": environment} | fields)
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def running(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    async with serving(MemoryLog(CODEC), tmp_path, clock) as found:
        yield found


@contextlib.asynccontextmanager
async def serving(log: MemoryLog, home: Path, clock: Clock) -> AsyncIterator[Running]:
    """Policy over `log`, which others may write to as well."""
    held = reactor.Held(log, CODEC)
    follower = Follower(log, reactor.FILTERS, 0, held.deliver, "policy")
    simulations = RecordedSimulations()
    rules = RegoRules()
    signer, keys, words = FileSigner(home / "keys" / "policy.pem"), MemorySubjectKeys(), GivenWords()
    means = Means(
        record=GroupCommit(log), budgets=BudgetLane(held.budgets, follower, own_time),
        identity=HashedIdentity(process.new_secret), signer=signer,
        reader=YamlPolicySets(), digest=digest_of, keys=keys, simulations=simulations,
        words=words, now=clock, new_id=process.new_id, new_secret=process.new_secret,
        rules=rules,
    )  # fmt: skip
    policy = Policy(held, follower, means)
    settings = ServiceSettings(_env_file=None, internal_key=SecretStr(KEY))
    server = Server(settings, "policy", port=0, tell=Opening(keys, verbatim=HOT))
    server.add(add_PolicyServiceServicer_to_server, PolicyServicer(policy))
    await follower.start()
    await server.start()
    await follower.caught_up()
    trust = asyncio.create_task(reactor.keep_trust(held.records, policy.trust.settle))
    async with client.channel(f"127.0.0.1:{server.port}", internal_key=KEY) as channel:
        yield Running(log, policy, follower, signer, channel, server.port, keys, simulations, words)
    trust.cancel()
    await server.stop()
    await follower.stop()
    await rules.stop()
