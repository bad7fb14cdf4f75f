"""What policy needs from the world. Knows nothing of how it is met."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from kernel.events import Cause
from kernel.faults import Fault
from kernel.ports import Aggregates, SubjectKeys
from services.policy.domain import agent, approval
from services.policy.domain.action import Action, Packet
from services.policy.domain.budget import Budgets
from services.policy.domain.closing import Close, Closing
from services.policy.domain.decision import DecisionRecord
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.faults import PolicySetInvalid
from services.policy.domain.flips import Simulated, Simulation
from services.policy.domain.limits import BudgetSet
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_published import Command as SetCommand
from services.policy.domain.policyset_published import PublishedSet
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.reservation import BudgetScope, Reservation
from services.policy.domain.revocation import PowerLost, Receipt
from services.policy.domain.rules import RuleOutcome
from services.policy.domain.tier import Tier
from services.policy.domain.track_record import TrackRecord


@dataclass(frozen=True, slots=True)
class Session:
    """What a session token says: this agent of this tenant, until then."""

    session_id: str
    tenant: str
    agent_id: str
    tier: Tier
    issue_time: datetime
    expire_time: datetime


class Bearer(NamedTuple):
    """Who shows a session token."""

    tenant: str
    agent_id: str


@dataclass(slots=True)  # not frozen: see `domain.question`
class Permit:
    """What an actuator needs to know before it acts."""

    decision_id: str
    action_digest: str
    tenant: str
    run_id: str
    task_id: str
    agent_id: str
    fencing_token: int
    issue_time: datetime
    expire_time: datetime


class Signer(Protocol):
    """Signs for policy. What it signs is verified elsewhere by public key alone."""

    def sign_session(self, session: Session) -> str: ...

    async def sign_permits(self, permits: Sequence[Permit]) -> Sequence[str]:
        """One for each, in order. Those that are asked for at the same moment may share one signature."""
        ...

    def sign_receipt(self, tenant: str, receipt: Receipt, at: datetime) -> str:
        """A compact JWS over the digest of everything in `receipt` but its signature."""
        ...

    def bearer_of(self, token: str, at: datetime) -> Bearer:
        """Whose session token of ours this is.

        Raises:
            Unauthenticated: `TOKEN_INVALID` or `TOKEN_EXPIRED`.
        """
        ...

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Key id and 32 bytes of Ed25519 public key, newest first."""
        ...


class Record(Protocol):
    """Makes decisions durable, those that arrive together in one event."""

    async def commit(self, decisions: Sequence[DecisionRecord], cause: Cause) -> int:
        """Returns the sequence of the event they are in, once it is on disk.

        All or none. Safe to repeat: a decision's id says that it is the same one. Those of several callers may share an
        event, those of one call always do.

        Raises:
            Unavailable, Exhausted: it may or may not have been written; nobody may act on it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Want:
    """A decision that may draw on budgets; `refused` makes the DENY that is recorded when one of them refuses."""

    record: DecisionRecord
    draw: Draw | None
    refused: Callable[[BudgetRefusal], DecisionRecord]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is on record now: the decision that was wanted, with what was set aside for it, or the DENY instead."""

    record: DecisionRecord
    reservation: Reservation | None
    refusal: BudgetRefusal | None


class Budgeting(Protocol):
    """Draws on the budgets of a tenant, each all or nothing, and never beyond a limit, whoever else does meanwhile.

    Safe to repeat: a reservation's id says that it is the same one. What is answered is on disk, and known here.

    Raises:
        Unavailable: it may or may not have been written; nobody may act on it.
        Exhausted: the log is full, or too many reservations wait to be settled.
    """

    def current(self, tenant: str) -> Budgets:
        """As far as is known here."""
        ...

    def tenants(self) -> frozenset[str]:
        """Those who have drawn on a budget, or set one."""
        ...

    async def decide(self, wants: Sequence[Want], cause: Cause) -> tuple[Sequence[Drawn], int]:
        """The decisions with what is set aside for them, in one event; and its sequence."""
        ...

    async def reserve(self, draw: Draw, cause: Cause) -> tuple[Reservation | BudgetRefusal | None, int]:
        """Set aside without a decision; None when no budget counts any of it."""
        ...

    async def close(self, closes: Sequence[Close], cause: Cause) -> tuple[Sequence[Closing | Fault], int]:
        """How each ended, or why it did not."""
        ...

    async def set(self, wanted: BudgetSet, cause: Cause) -> int:
        """Set limits by hand."""
        ...


class RecordedErrors(Protocol):
    """The errors that state has recorded, as the follower delivered them."""

    def count(self, tenant: str, scope: BudgetScope, scope_id: str, since_seconds: int) -> int:
        """How many since that second of 1970; too many rather than too few."""
        ...


class ReadSet(Protocol):
    """A document that was read. `policy` is None when there are problems."""

    @property
    def policy(self) -> PolicySet | None: ...
    @property
    def problems(self) -> Sequence[PolicySetInvalid]: ...

    def place(self, path: str) -> tuple[int, int]:
        """Line and column, from 1, of the value that `path` leads to, or of the nearest one around it."""
        ...

    def within(self, path: str, line: int, column: int) -> tuple[int, int]:
        """The same for a place within a text of several lines."""
        ...


class PolicySetReader(Protocol):
    """Reads policy set documents."""

    @property
    def default_document(self) -> str:
        """The document of the built-in set."""
        ...

    def check(self, document: str) -> PolicySet:
        """The set, after everything there is to check.

        Raises:
            PolicySetInvalid: with line and column.
        """
        ...

    @property
    def schema(self) -> str:
        """What documents are checked against: JSON Schema, 2020-12."""
        ...

    def look(self, document: str) -> ReadSet:
        """The set, or everything that is wrong with it."""
        ...

    def read(self, document: str) -> PolicySet:
        """The set of a document that was checked when it was published.

        Raises:
            PolicySetInvalid: it cannot be read after all.
        """
        ...


class Rules(Protocol):
    """Evaluates the custom rules of policy sets (`rules.rego`). Raises nothing: who cannot say is `failed`."""

    def judge(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What the set's rules say to each of `inputs` (see `rule_input`), in order; many cost less at once."""
        ...

    def examine(self, rego: Sequence[RegoModule]) -> Examined:
        """What is wrong with these modules, and how their tests come out. Slow, and may be asked in a thread."""
        ...

    def rehearse(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """As `judge`, for a set that is not live: in a thread, and without a trace."""
        ...


class Opa(Protocol):
    """An OPA server that is asked as well. Raises nothing: unreachable, late or nonsense is `failed`."""

    async def judge(self, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What it says to each of `inputs` (see `rule_input`), in order."""
        ...


class Packets(Protocol):
    """The newest instruction packet of each agent, as the follower delivered it."""

    def current(self, tenant: str, agent_id: str) -> Packet | None: ...


class Labels(Protocol):
    """What has stuck to runs by what they have read, as the follower delivered it."""

    def current(self, tenant: str, agent_id: str, run_id: str | None) -> tuple[str, ...] | None:
        """Those of one run of the agent, or (None) of all its runs together; None when they cannot be read."""
        ...


class Made(NamedTuple):
    """A secret that was just made: what is shown once, and what the log keeps of it."""

    secret_id: str
    kept: str


class Shown(NamedTuple):
    """Whose secret was shown: what the log keeps of it, and the accessor of a token that was given out for it."""

    kept: str
    accessor: str = ""


class Identity(Protocol):
    """Makes agents' secrets, and says which one was shown.

    Which of them are good is said by the log alone: a secret that it does not know, or knows no longer, opens nothing.
    All raise Unavailable (`VAULT_UNREACHABLE`) when what they rest on cannot be reached: then nobody gets anything.
    """

    @property
    def surface(self) -> str:
        """Where power of agents lies outside of the log, as `vault`; empty: nowhere."""
        ...

    async def new_secret(self, tenant: str, agent: agent.Agent) -> Made:
        """Another secret of the agent. Not safe to repeat: each call makes one."""
        ...

    async def wrap(self, tenant: str, agent: agent.Agent, seconds: int) -> str:
        """What stands for one secret of the agent, once, for so long."""
        ...

    async def unwrap(self, tenant: str, agent: agent.Agent, token: str) -> Made:
        """The secret that `token`, which the log knows, stands for.

        Raises:
            WrappingTokenInvalid: it stands for nothing, or no longer.
        """
        ...

    async def shown(self, tenant: str, agent: agent.Agent, secret_id: str, ttl_seconds: int) -> Shown:
        """Which of the agent's secrets this is. Takes as long for an agent that there is not.

        Raises:
            CredentialsRefused: none of them.
        """
        ...

    async def forget(
        self, tenant: str, agent: agent.Agent, kept: Collection[str], accessors: Collection[str]
    ) -> None:
        """Take these away outside, too: nobody can use them any more. Raises nothing: what
        cannot be reached runs out by itself."""
        ...

    async def end(self, tenant: str, agent: agent.Agent) -> int:
        """Take all that the agent has outside away, for good; how many tokens those were. Safe to repeat."""
        ...


class Heard(NamedTuple):
    """What was said of lost power, properly signed; and who should have said something, as `state/3f2a:locks`."""

    lost: tuple[PowerLost, ...]
    silent: tuple[str, ...]


class Words(Protocol):
    """What those who held power of a revoked agent say of having lost it."""

    async def collect(
        self, tenant: str, agent_id: str, sequence: int, wait_seconds: float, *, again: bool = False
    ) -> Heard:
        """The words about one revocation, once all who are there have spoken or `wait_seconds` are over.

        With `again`, all are asked to repeat what nobody may have heard. Raises nothing: who is not heard is silent.
        """
        ...


class Simulations(Protocol):
    """Decides recorded history anew, out of the way of live decisions."""

    def run(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        """How far it is, again and again; the last one is `done`. Closing it ends the simulation at once.

        Raises:
            PolicySetInvalid: the set could not go live.
            Unavailable: log or keys cannot be reached, or it ended halfway (`SIMULATION_ENDED`).
        """
        ...


class Records(Protocol):
    """What agents have shown of themselves, as far as the follower has delivered."""

    def current(self, tenant: str, agent_id: str) -> TrackRecord: ...

    def promotions(self, tenant: str, agent_id: str) -> tuple[str, ...]:
        """The approvals that were requested for promotions of this agent, oldest first."""
        ...


class Clock(Protocol):
    def __call__(self) -> datetime: ...


class NewId(Protocol):
    def __call__(self) -> str:
        """32 hex digits that nobody had before."""
        ...


class Secrets(Protocol):
    def __call__(self, n_bytes: int = 32) -> str:
        """So many bytes of randomness, URL-safe."""
        ...


class Digest(Protocol):
    def __call__(self, action: Action) -> str:
        """`sha256:<hex>` over the RFC 8785 form of name, target, environment and parameters."""
        ...


class Held(Protocol):
    """What policy keeps in memory of the log, as far as the follower has delivered."""

    @property
    def agents(self) -> Aggregates[agent.Agent, agent.Command]: ...
    @property
    def approvals(self) -> Aggregates[approval.Approval, approval.Command]: ...
    @property
    def published(self) -> Aggregates[PublishedSet, SetCommand]: ...
    @property
    def packets(self) -> Packets: ...
    @property
    def records(self) -> Records: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def errors(self) -> RecordedErrors: ...


@dataclass(frozen=True, slots=True)
class Means:
    """Everything else the use cases work with."""

    record: Record
    budgets: Budgeting
    identity: Identity
    signer: Signer
    reader: PolicySetReader
    digest: Digest
    keys: SubjectKeys
    simulations: Simulations
    words: Words
    now: Clock
    new_id: NewId
    new_secret: Secrets
    rules: Rules | None = None
    opa: Opa | None = None
