"""Where agents get their secrets and sessions: the use cases over a log in memory, and one identity or the other."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from chassis import process
from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.domain.agent import AGENT, Agent, Command, Event, RegisterAgent
from services.policy.domain.revocation import RevokeAgent
from services.policy.domain.standing import DemoteAgent, Grounds, PromoteAgent, ResumeAgent, SuspendAgent
from services.policy.domain.tier import Tier
from services.policy.handlers.endings import Endings
from services.policy.handlers.sessions import NewSession, Sessions
from services.policy.ports.identity import Identity
from services.policy.ports.signing import Session
from services.policy.wire import CODEC

TTL_SECONDS = {
    Tier.T0_OBSERVER: 3600, Tier.T1_OPERATOR: 1800, Tier.T2_BUILDER: 1800, Tier.T3_EXECUTOR: 900,
    Tier.T4_ARCHITECT: 900,
}  # fmt: skip


async def _nothing_newer(_following: None) -> None:
    """There is no other replica."""


class Signs:
    """Hands out the session itself, so that a test can look at it."""

    def sign_session(self, session: Session) -> str:
        return f"session {session.session_id}"


@dataclass
class Desk:
    identity: Identity
    tenant: str = "default"
    ahead: timedelta = timedelta()
    stale_seconds: float = 0.0
    log: MemoryLog = field(default_factory=lambda: MemoryLog(CODEC))
    requests: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.agents: HeldAggregates[Command, Agent, Event] = HeldAggregates(AGENT, self.log, CODEC)
        reader = YamlPolicySets()
        in_force = reader.check(reader.default_document)
        means = SimpleNamespace(
            identity=self.identity, signer=Signs(), new_secret=process.new_secret, new_id=process.new_id
        )
        sets = SimpleNamespace(required=lambda _tenant: in_force)
        self.endings = Endings(self.agents, self.identity)
        held = SimpleNamespace(agents=self.agents, catch_up=_nothing_newer)
        self.sessions = Sessions(
            cast(Any, held), cast(Any, self), cast(Any, sets), cast(Any, means), self.endings.owe
        )

    def cause(self, request_id: str = "") -> Cause:
        request_id = request_id or f"request-{next(self.requests)}-{process.new_id()}"
        return Cause(self.tenant, request_id, "service:tests", datetime.now(UTC) + self.ahead, "")

    def agent(self, agent_id: str) -> Agent:
        return self.agents.current(self.tenant, agent_id)

    async def register(self, tier: Tier = Tier.T1_OPERATOR, agent_id: str = "") -> str:
        """An agent of a new id, if none is given."""
        agent_id = agent_id or f"SRE-{process.new_id()[-12:]}"
        role_id = f"{agent_id}.{process.new_id()}"
        command = RegisterAgent(agent_id, tier, "1.0", role_id, self.cause().at)
        await self.agents.handle(agent_id, command, self.cause())
        return agent_id

    async def session(self, agent_id: str, secret_id: str, request_id: str = "") -> NewSession:
        role_id = self.agent(agent_id).role_id
        return await self.sessions.create_session(role_id, secret_id, self.cause(request_id))

    async def revoke(self, agent_id: str) -> None:
        command = RevokeAgent(agent_id, "operator", "enough", "key:ops", self.cause().at)
        await self.agents.handle(agent_id, command, self.cause())

    async def promote(self, agent_id: str, tier: Tier) -> None:
        grounds = Grounds("", "earned", "key:ops")
        await self.agents.handle(
            agent_id, PromoteAgent(agent_id, tier, grounds, self.cause().at), self.cause()
        )

    async def demote(self, agent_id: str, tier: Tier) -> None:
        at = self.cause().at
        command = DemoteAgent(agent_id, tier, Grounds("", "too much", "key:ops"), at)
        await self.agents.handle(agent_id, command, self.cause())

    async def suspend(self, agent_id: str) -> None:
        command = SuspendAgent(agent_id, "to look", "key:ops", self.cause().at)
        await self.agents.handle(agent_id, command, self.cause())

    async def resume(self, agent_id: str) -> None:
        command = ResumeAgent(agent_id, "looked", "key:ops", self.cause().at)
        await self.agents.handle(agent_id, command, self.cause())

    async def written(self) -> bytes:
        """Everything in the log."""
        feed = await self.log.open(("evt.>",), 0, None)
        return b"".join(
            each.subject.encode() + each.payload + repr(dict(each.headers)).encode()
            for each in (await feed.next()).events
        )
