"""The doors of the gateway, with somebody honest but simple behind them who keeps what was asked."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache

from kernel.faults import Denied, Fault, NotFound, Unavailable
from services.gateway.domain.callers import Caller, Keyring, Role, parse_keys
from services.gateway.domain.receipts import PowerLost, Receipt, RevokedAgent
from services.gateway.domain.records import (
    ActionFilter,
    Agent,
    AgentAction,
    AgentMetrics,
    Answer,
    Approval,
    ApprovalState,
    Component,
    Erasure,
    Event,
    EventFilter,
    GivenVote,
    LedgerCheck,
    Listing,
    Page,
    Revocation,
    Status,
    TreeHead,
    Verification,
    Vote,
)
from services.gateway.domain.runs import (
    Cycle,
    Evidence,
    Incident,
    Mode,
    Outcome,
    Pattern,
    ProcessLog,
    Run,
    RunState,
    Source,
    StartRun,
)
from services.gateway.handlers import Gateway
from tests.fakes.history import FakeHistory
from tests.fakes.rules import FakeRules
from tests.fakes.sharing import FakeState

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def run_of(ask: ProcessLog, caller: Caller, run_id: str) -> Run:
    """A run that reports the first line as its evidence; `assisted` ones wait for a person."""
    text = ask.log.decode("utf-8", "replace")
    waits = ask.mode is Mode.ASSISTED
    state = RunState.WAITING if waits else RunState.COMPLETED
    return Run(
        run_id=run_id,
        task_id=f"log-{run_id}",
        agent_id=ask.agent_id or "sre-1",
        state=state,
        mode=ask.mode,
        strategy=ask.strategy or "reflective",
        phase="EXECUTE" if waits else "EXIT",
        objective="find out what is wrong",
        requested_by=caller.actor,
        source=Source("ab" * 32, len(ask.log), text.count("\n") + 1, text.count("�"), {}),
        incident=Incident(
            severity="high",
            cause="memory",
            confidence=0.9,
            summary="out of memory",
            evidence=(Evidence("e1", 1, text.splitlines()[0][:400] if text.strip() else "", "cd" * 32),),
            patterns=(Pattern("Out of memory: <*>", 1, 1, 1),),
            claims=(),
        ),
        plan=(),
        decisions=(),
        outcome=Outcome(state, "BOOTSTRAP_COMPLETE", "looked, touched nothing", (), ()),
        trace=(Cycle(1, "memory", "memory", ("e1",), 0.8, "", ""),) if ask.include_trace else None,
        past_incidents=(),
        waiting_for=("approval-1",) if waits else (),
        report_sha256="ef" * 32,
        start_time=AT,
        end_time=None if waits else AT,
        sequence=42,
    )


@dataclass
class FakeOrchestrator:
    """Keeps runs by request id, so that a repeated one is the same run. `fault` is raised while it is set."""

    asked: list[ProcessLog | StartRun] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    kept: dict[str, Run] = field(default_factory=dict)
    fault: Exception | None = None

    async def process_log(self, ask: ProcessLog, caller: Caller) -> Run:
        self._heard(ask, caller)
        return self.kept.setdefault(ask.request_id, run_of(ask, caller, f"run-{len(self.kept) + 1}"))

    async def start_run(self, ask: StartRun, caller: Caller) -> Run:
        self._heard(ask, caller)
        log = ProcessLog(ask.request_id, b"", ask.mode, None, True, ask.agent_id, ())
        started = replace(
            run_of(log, caller, f"run-{len(self.kept) + 1}"), state=RunState.RUNNING, objective=ask.objective
        )
        return self.kept.setdefault(ask.request_id, started)

    async def run(self, run_id: str, wait_seconds: int, caller: Caller) -> Run:
        self.callers.append(caller)
        for run in self.kept.values():
            if run.run_id == run_id:
                return run
        raise NotFound("RUN_UNKNOWN", f"no run {run_id}", run_id=run_id)

    async def runs(self, state: RunState | None, page: Page, caller: Caller) -> Listing[Run]:
        found = [run for run in self.kept.values() if state in (None, run.state)]
        size = page.size or 50
        start = int(page.token or 0)
        more = str(start + size) if start + size < len(found) else ""
        return Listing(tuple(found[start : start + size]), more)

    def _heard(self, ask: ProcessLog | StartRun, caller: Caller) -> None:
        self.asked.append(ask)
        self.callers.append(caller)
        if self.fault is not None:
            raise self.fault


@dataclass
class FakePolicy:
    agents_kept: dict[str, Agent] = field(
        default_factory=lambda: {"sre-1": Agent("sre-1", "T1_OPERATOR", "ACTIVE", "1", "", "", None, AT)}
    )
    approvals_kept: dict[str, Approval] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    asked: list[Revocation | Answer] = field(default_factory=list)

    def wants(self, approval_id: str, requested_by: str) -> None:
        self.approvals_kept[approval_id] = Approval(
            approval_id, "PENDING", "ansible.check", "localhost", "sandbox", {}, "sha256:00", "run-1", "sre-1",
            requested_by, "to be sure", "", "", AT, AT, None,
        )  # fmt: skip

    async def agents(self, page: Page, caller: Caller) -> Listing[Agent]:
        return Listing(tuple(self.agents_kept.values()), "")

    async def receipt(self, agent_id: str, caller: Caller) -> Receipt:
        if agent_id not in self.receipts:
            raise NotFound("RECEIPT_UNKNOWN", f"no receipt for {agent_id}", agent_id=agent_id)
        return self.receipts[agent_id]

    async def revoke_agent(self, ask: Revocation, caller: Caller) -> RevokedAgent:
        self.asked.append(ask)
        agent = self.agents_kept.get(ask.agent_id)
        if agent is None:
            raise NotFound("AGENT_UNKNOWN", f"no agent {ask.agent_id}", agent_id=ask.agent_id)
        revoked = replace(
            agent, state="REVOKED", revoke_reason=ask.details, revoked_by=caller.actor, revoke_time=AT
        )
        self.agents_kept[ask.agent_id] = revoked
        lost = (PowerLost("tokens", "policy", "r1", 1.5, 1, "a.b.c"),)
        self.receipts[ask.agent_id] = Receipt(
            ask.agent_id, 7, AT, lost, ("state/r2:locks",), (), ask.wait_ms, "d.e.f"
        )
        shown = {each.name: getattr(revoked, each.name) for each in fields(Agent)}
        return RevokedAgent(**shown, receipt=self.receipts[ask.agent_id])

    async def approvals(
        self, state: ApprovalState | None, run_id: str, page: Page, caller: Caller
    ) -> Listing[Approval]:
        wanted = state or ApprovalState.PENDING
        return Listing(tuple(each for each in self.approvals_kept.values() if each.state == wanted), "")

    async def answer_approval(self, answer: Answer, caller: Caller) -> Approval:
        self.asked.append(answer)
        approval = self.approvals_kept.get(answer.approval_id)
        if approval is None:
            raise NotFound("APPROVAL_UNKNOWN", f"no approval {answer.approval_id}")
        if approval.requested_by == caller.actor:
            raise Denied("SELF_APPROVAL", "whoever asked may not answer")
        state = {Vote.APPROVE: "APPROVED", Vote.REJECT: "REJECTED"}.get(answer.vote, "CHANGES_REQUESTED")
        given = GivenVote(caller.actor, answer.vote.name, answer.comment, AT)
        answered = replace(
            approval, state=state, answered_by=caller.actor, comment=answer.comment, votes=(given,)
        )
        self.approvals_kept[answer.approval_id] = answered
        return answered


@dataclass
class FakeLedger(FakeHistory):
    """One tile of five hashes on level 0 and an entry bundle of three pieces, which may break off after `pieces`."""

    filters: list[EventFilter | ActionFilter] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    pieces: int = 3
    erased: dict[str, Erasure] = field(default_factory=dict)

    async def erase(self, request_id: str, subject: str, reason: str, caller: Caller) -> Erasure:
        self.callers.append(caller)
        made = Erasure(9, "ab" * 16, "", reason, caller.actor, AT)
        return self.erased.setdefault(request_id, made)

    async def erasures(self, page: Page, caller: Caller) -> Listing[Erasure]:
        return Listing(tuple(self.erased.values()), "")

    async def events(
        self, events: EventFilter, oldest_first: bool, page: Page, caller: Caller
    ) -> Listing[Event]:
        self.filters.append(events)
        subject = f"evt.{caller.tenant}.orchestrator.run.run-1.RunStarted"
        event = Event(7, 6, "id-7", subject, "RunStarted", "key:x", "run-1", "", AT, {}, "aa" * 32)
        return Listing((event,), "")

    async def agent_actions(self, actions: ActionFilter, page: Page, caller: Caller) -> Listing[AgentAction]:
        self.filters.append(actions)
        return Listing((), "")

    async def agent_metrics(self, agent_id: str, page: Page, caller: Caller) -> Listing[AgentMetrics]:
        return Listing((AgentMetrics("sre-1", "T1_OPERATOR", 3, 3, 3, AT, False),), "")

    async def tree_head(self, caller: Caller) -> TreeHead:
        return TreeHead("provost", 7, "bb" * 32, "provost\n7\n…\n", "provost+00+key", AT)

    async def verify(self, against_log: bool, caller: Caller) -> Verification:
        return Verification(True, (LedgerCheck("root", True, ""),), 7, "bb" * 32, 0)

    async def tile(self, level: int, index: int, width: int, caller: Caller) -> bytes:
        self.callers.append(caller)
        if (level, index) != (0, 0) or not 1 <= width <= 5:
            raise NotFound("TILE_UNKNOWN", "the signed tree of 5 leaves has 5 hashes of tile 0/0")
        return bytes(32) * width

    async def entries(self, index: int, width: int, caller: Caller) -> AsyncGenerator[bytes, None]:
        await self.tile(0, index, width, caller)
        for n in range(3):
            if n == self.pieces:
                raise Unavailable("PEER_UNREACHABLE", "ledger does not answer; try again")
            yield bytes([n]) * 1000


@dataclass
class FakeMeter:
    """Lets `left` more requests of each bucket in, `times` as often; None means any number."""

    left: int | None = None
    taken: list[str] = field(default_factory=list)

    async def take(self, bucket: str, times: int = 1) -> float:
        self.taken.append(bucket)
        return 0.0 if self.left is None or self.taken.count(bucket) <= self.left * times else 12.5


@dataclass
class FakeRefusals:
    noted: list[Mapping[str, str]] = field(default_factory=list)

    def note(self, tenant: str, reason: str, actor: str, method: str, peer: str) -> None:
        self.noted.append(
            {"tenant": tenant, "reason": reason, "actor": actor, "method": method, "peer": peer}
        )


@dataclass
class FakeProbe:
    components: tuple[Component, ...] = (Component("policy", True, 0, ""),)

    async def status(self) -> Status:
        return Status(self.components, "0.1.0")


OPERATOR, ADMIN = "operator-key-0123456789", "admin-key-0123456789abc"
VIEWER, APPROVER = "viewer-key-0123456789ab", "approver-key-0123456789"
OTHER = "operator-of-another-tenant"
AUDITOR, OTHER_AUDITOR = "auditor-key-0123456789a", "auditor-of-another-tenant"


@cache
def keyring() -> Keyring:
    """One key of each kind the tests need."""
    entries = f"{OPERATOR},viewer:{VIEWER},approver:{APPROVER},operator@acme:{OTHER}"
    entries += f",auditor:{AUDITOR},auditor@acme:{OTHER_AUDITOR}"
    return Keyring((*parse_keys(entries, Role.OPERATOR), *parse_keys(ADMIN, Role.ADMIN)))


@dataclass
class House:
    """A gateway whose doors are fakes."""

    keys: Keyring = field(default_factory=keyring)
    orchestrator: FakeOrchestrator = field(default_factory=FakeOrchestrator)
    policy: FakePolicy = field(default_factory=FakePolicy)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    state: FakeState = field(default_factory=FakeState)
    rules: FakeRules = field(default_factory=FakeRules)
    meter: FakeMeter = field(default_factory=FakeMeter)
    refusals: FakeRefusals = field(default_factory=FakeRefusals)
    probe: FakeProbe = field(default_factory=FakeProbe)
    public_log: bool = False

    @property
    def gateway(self) -> Gateway:
        doors = self.orchestrator, self.policy, self.ledger, self.state, self.rules
        return Gateway(self.keys, self.meter, self.refusals, self.probe, *doors, self.public_log)

    def fails_with(self, fault: Fault | Exception) -> None:
        self.orchestrator.fault = fault
