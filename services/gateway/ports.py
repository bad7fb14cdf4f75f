"""What the gateway needs of others. A door raises the faults that the service behind it raised, or Unavailable
(`PEER_UNREACHABLE`) when it does not answer; asking again with the same request id is always safe."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Protocol

from services.gateway.domain.callers import Caller
from services.gateway.domain.history import (
    ApprovalRecord,
    ApprovalRecordFilter,
    Chain,
    Promotion,
    PromotionFilter,
    Step,
    Violation,
    ViolationFilter,
    Watched,
    WatchFrom,
)
from services.gateway.domain.receipts import Receipt, RevokedAgent
from services.gateway.domain.records import (
    ActionFilter,
    Agent,
    AgentAction,
    AgentMetrics,
    Answer,
    Approval,
    ApprovalState,
    Erasure,
    Event,
    EventFilter,
    Listing,
    Page,
    Revocation,
    Status,
    TreeHead,
    Verification,
)
from services.gateway.domain.rules import (
    AskWhy,
    Explained,
    Publish,
    RollBack,
    SetInForce,
    SetListed,
    SetsCompared,
    SetShown,
    SetValidated,
    Simulate,
    Simulated,
)
from services.gateway.domain.runs import ProcessLog, Run, RunState, StartRun
from services.gateway.domain.sharing import (
    Acknowledge,
    AgentNow,
    BoardEntry,
    HeldLock,
    Message,
    MessageFilter,
    Read,
    Released,
    StateListing,
    Task,
    TaskNow,
)
from services.gateway.domain.standing import Budget, Move, Promoted, Register, SetBudget


class OrchestratorDoor(Protocol):
    async def process_log(self, ask: ProcessLog, caller: Caller) -> Run: ...

    async def start_run(self, ask: StartRun, caller: Caller) -> Run: ...

    async def run(self, run_id: str, wait_seconds: int, caller: Caller) -> Run: ...

    async def runs(self, state: RunState | None, page: Page, caller: Caller) -> Listing[Run]: ...


class PolicyDoor(Protocol):
    async def agents(self, page: Page, caller: Caller) -> Listing[Agent]: ...

    async def revoke_agent(self, ask: Revocation, caller: Caller) -> RevokedAgent: ...

    async def receipt(self, agent_id: str, caller: Caller) -> Receipt: ...

    async def approvals(
        self, state: ApprovalState | None, run_id: str, page: Page, caller: Caller
    ) -> Listing[Approval]: ...

    async def answer_approval(self, answer: Answer, caller: Caller) -> Approval: ...


class RulesDoor(Protocol):
    async def shown(self, version: str, caller: Caller) -> SetShown: ...

    async def versions(self, page: Page, caller: Caller) -> Listing[SetListed]: ...

    async def validate(self, document: str, caller: Caller) -> SetValidated: ...

    async def compare(
        self, old_version: str, version: str, document: str, caller: Caller
    ) -> SetsCompared: ...

    async def publish(self, ask: Publish, caller: Caller) -> SetInForce: ...

    async def roll_back(self, ask: RollBack, caller: Caller) -> SetInForce: ...

    async def explain(self, ask: AskWhy, caller: Caller) -> Explained: ...

    def simulate(self, ask: Simulate, caller: Caller) -> AsyncGenerator[Simulated, None]:
        """How far it is, again and again; the last is `done`. Closing it ends the simulation."""
        ...

    async def budgets(
        self, run_id: str, agent_id: str, task_id: str, page: Page, caller: Caller
    ) -> Listing[Budget]: ...

    async def set_budget(self, ask: SetBudget, caller: Caller) -> Budget: ...

    async def agent(self, agent_id: str, caller: Caller) -> Agent: ...

    async def register(self, ask: Register, caller: Caller) -> Agent: ...

    async def suspend(self, ask: Move, caller: Caller) -> Agent: ...

    async def resume(self, ask: Move, caller: Caller) -> Agent: ...

    async def promote(self, ask: Move, caller: Caller) -> Promoted: ...

    async def demote(self, ask: Move, caller: Caller) -> Agent: ...


class LedgerDoor(Protocol):
    async def events(
        self, events: EventFilter, oldest_first: bool, page: Page, caller: Caller
    ) -> Listing[Event]: ...

    async def agent_actions(
        self, actions: ActionFilter, page: Page, caller: Caller
    ) -> Listing[AgentAction]: ...

    async def agent_metrics(self, agent_id: str, page: Page, caller: Caller) -> Listing[AgentMetrics]: ...

    async def violations(self, wanted: ViolationFilter, page: Page, caller: Caller) -> Listing[Violation]: ...

    async def promotions(self, wanted: PromotionFilter, page: Page, caller: Caller) -> Listing[Promotion]: ...

    async def approval_records(
        self, wanted: ApprovalRecordFilter, page: Page, caller: Caller
    ) -> Listing[ApprovalRecord]: ...

    async def event(self, event_id: str, caller: Caller) -> Event: ...

    async def causes(self, event_id: str, effect_id: str, caller: Caller) -> Chain:
        """What led to an event or, if `event_id` is empty, to an effect."""
        ...

    async def replay(self, run_id: str, page: Page, caller: Caller) -> Listing[Step]: ...

    def watch(self, events: EventFilter, begin: WatchFrom, caller: Caller) -> AsyncGenerator[Watched, None]:
        """Events as they come, and now and then none, each time with the cursor to go on from; the first at once."""
        ...

    async def tree_head(self, caller: Caller) -> TreeHead: ...

    async def verify(self, against_log: bool, caller: Caller) -> Verification: ...

    async def erase(self, request_id: str, subject: str, reason: str, caller: Caller) -> Erasure: ...

    async def erasures(self, page: Page, caller: Caller) -> Listing[Erasure]: ...

    async def tile(self, level: int, index: int, width: int, caller: Caller) -> bytes: ...

    def entries(self, index: int, width: int, caller: Caller) -> AsyncGenerator[bytes, None]:
        """An entry bundle in pieces, at least one."""
        ...


class StateDoor(Protocol):
    async def tasks(self, page: Page, caller: Caller) -> StateListing[Task]: ...

    async def task(self, task_id: str, caller: Caller) -> TaskNow: ...

    async def board(
        self, task_id: str, section: str, page: Page, caller: Caller
    ) -> StateListing[BoardEntry]: ...

    async def messages(self, wanted: MessageFilter, page: Page, caller: Caller) -> StateListing[Message]: ...

    async def locks(self, task_id: str, page: Page, caller: Caller) -> StateListing[HeldLock]: ...

    async def stuck(self, task_id: str, page: Page, caller: Caller) -> StateListing[AgentNow]: ...

    async def release_lock(self, request_id: str, agent_id: str, reason: str, caller: Caller) -> Released: ...

    async def acknowledge(self, request_id: str, wanted: Acknowledge, caller: Caller) -> Read: ...


class Meter(Protocol):
    """Counts requests against a rate, right across replicas as long as the store answers."""

    async def take(self, bucket: str, times: int = 1) -> float:
        """0 when one more request fits, else the seconds to wait until one does. Never raises, never blocks long.

        `bucket` holds `times` as many as one key may ask for.
        """
        ...


class Refusals(Protocol):
    """Writes down who was turned away. Never blocks; what is noted is in the event log soon, alike ones folded."""

    def note(self, tenant: str, reason: str, actor: str, method: str, peer: str) -> None: ...


class Probe(Protocol):
    async def status(self) -> Status:
        """How everything is, at most a second old. Never raises: what does not answer is not healthy."""
        ...


class PassThrough(Protocol):
    """Hands a call on to the service that its full method name names, unread.

    What the service answers with, status and details included, is raised as the transport raised it; Unavailable
    (`PEER_UNREACHABLE`) means that it stayed away. A unary call is tried again while the service is away; it comes with
    what the service said besides its answer.
    """

    async def unary(
        self, method: str, request: bytes, caller: Caller, timeout_seconds: float | None
    ) -> tuple[bytes, Iterable[tuple[str, str | bytes]]]: ...

    def answers(
        self, method: str, request: bytes, caller: Caller, timeout_seconds: float | None
    ) -> AsyncGenerator[bytes, None]: ...

    def exchange(
        self, method: str, requests: AsyncIterator[bytes], caller: Caller, timeout_seconds: float | None
    ) -> AsyncGenerator[bytes, None]: ...
