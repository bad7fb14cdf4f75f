"""Policy's rules behind the gateway's door: one set in force, and whatever is asked is kept."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kernel.faults import Fault, NotFound, Refused
from services.gateway.domain.callers import Caller
from services.gateway.domain.records import Agent, Listing, Page, TrackRecord
from services.gateway.domain.rules import (
    AskWhy,
    Difference,
    Explained,
    Flip,
    Looked,
    Needed,
    Publish,
    RollBack,
    SetInForce,
    SetListed,
    SetProblem,
    SetsCompared,
    SetShown,
    SetTest,
    SetValidated,
    Simulate,
    Simulated,
    Totals,
)
from services.gateway.domain.standing import Budget, BudgetLine, Move, Promoted, Register, SetBudget

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGENT = Agent(
    "sre-1", "T1_OPERATOR", "ACTIVE", "1", "", "", None, AT, "", "key:a", "", TrackRecord(3, 2, 1, 0, AT)
)
FLIP = Flip(
    "d-1", "sre-1", "run-1", "ansible.check", "host-1", "sandbox", {}, AT, "ALLOW", "ALLOWED_BY_TIER", "DENY",
    "TIER_TOO_LOW", "tier.T1_OPERATOR", "T1_OPERATOR may not",
)  # fmt: skip
TOTALS = Totals(10, 1, {"ALLOW>DENY": 1}, {"sre-1": 1}, {"ansible.check": 1}, {}, 7, 0.5)


@dataclass
class FakeRules:
    asked: list[Any] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    fault: Fault | None = None
    agents: dict[str, Agent] = field(default_factory=lambda: {"sre-1": AGENT})
    simulating: int = 0

    async def shown(self, version: str, caller: Caller) -> SetShown:
        if version not in ("", "1"):
            raise NotFound("POLICY_SET_UNKNOWN", f"no set {version}")
        return SetShown("1", 'version: "1"\n', 3)

    async def versions(self, page: Page, caller: Caller) -> Listing[SetListed]:
        self._hear(page, caller)
        return Listing((SetListed("1", "key:a", AT, 3, True, False, "", "ab"),), "more")

    async def validate(self, document: str, caller: Caller) -> SetValidated:
        self._hear(document, caller)
        problem = SetProblem(2, 5, "tiers", "is missing")
        return SetValidated(False, "2", (problem,), (), (SetTest("it holds", False, "it does not", 9),))

    async def compare(self, old_version: str, version: str, document: str, caller: Caller) -> SetsCompared:
        self._hear((old_version, version, document), caller)
        return SetsCompared(
            "1", "2", (Difference("capability", "T1_OPERATOR", "sandbox", "a.b", "", "yes", True),)
        )

    async def publish(self, ask: Publish, caller: Caller) -> SetInForce:
        self._hear(ask, caller)
        if ask.replaces != "1":
            raise Refused("POLICY_SET_STALE", "another is in force")
        return SetInForce("2", 4, (SetProblem(7, 3, "rules/0/rego", "no rule reads it"),))

    async def roll_back(self, ask: RollBack, caller: Caller) -> SetInForce:
        self._hear(ask, caller)
        return SetInForce(ask.version, 5)

    async def explain(self, ask: AskWhy, caller: Caller) -> Explained:
        self._hear(ask, caller)
        needed = Needed("tier", "T3_EXECUTOR", "admin")
        looked = (
            Looked("agent.known", True, "the agent is registered."),
            Looked("tier", False, "not at its tier"),
        )
        return Explained(
            "DENY", "tier.T1_OPERATOR", "TIER_TOO_LOW", "why", "T1_OPERATOR", "1", (), (needed,), looked
        )

    async def simulate(self, ask: Simulate, caller: Caller) -> AsyncGenerator[Simulated, None]:
        self._hear(ask, caller)
        self.simulating += 1
        try:
            yield Simulated((FLIP,), TOTALS, False)
            yield Simulated((), TOTALS, True)
        finally:
            self.simulating -= 1

    async def budgets(
        self, run_id: str, agent_id: str, task_id: str, page: Page, caller: Caller
    ) -> Listing[Budget]:
        self._hear((run_id, agent_id, task_id, page), caller)
        return Listing(
            (Budget("set.daily", "agent", "sre-1", (BudgetLine("actions", 9, 3, 1),), 0, None),), ""
        )

    async def set_budget(self, ask: SetBudget, caller: Caller) -> Budget:
        self._hear(ask, caller)
        lines = tuple(BudgetLine(unit, most, 0, 0) for unit, most in ask.limits.items())
        return Budget("hand", ask.scope, ask.scope_id, lines, ask.window_seconds, None)

    async def agent(self, agent_id: str, caller: Caller) -> Agent:
        if agent_id not in self.agents:
            raise NotFound("AGENT_UNKNOWN", f"no agent {agent_id}")
        return self.agents[agent_id]

    async def register(self, ask: Register, caller: Caller) -> Agent:
        self._hear(ask, caller)
        return self.agents.setdefault(ask.agent_id, replace(AGENT, agent_id=ask.agent_id, tier=ask.tier))

    async def suspend(self, ask: Move, caller: Caller) -> Agent:
        return await self._moved(ask, caller, state="SUSPENDED", suspend_reason=ask.why)

    async def resume(self, ask: Move, caller: Caller) -> Agent:
        return await self._moved(ask, caller, state="ACTIVE", suspend_reason="")

    async def promote(self, ask: Move, caller: Caller) -> Promoted:
        return Promoted(await self._moved(ask, caller, tier=ask.to_tier), None)

    async def demote(self, ask: Move, caller: Caller) -> Agent:
        return await self._moved(ask, caller, tier=ask.to_tier)

    async def _moved(self, ask: Move, caller: Caller, **changes: Any) -> Agent:
        self._hear(ask, caller)
        agent = self.agents[ask.agent_id] = replace(await self.agent(ask.agent_id, caller), **changes)
        return agent

    def _hear(self, ask: Any, caller: Caller) -> None:
        self.asked.append(ask)
        self.callers.append(caller)
        if self.fault is not None:
            raise self.fault
