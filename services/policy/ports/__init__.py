"""What policy needs from the world. Knows nothing of how it is met. Here is what every use case is given; the ports
themselves have a file for each subject."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kernel.ports import Aggregates, Following, SubjectKeys
from services.policy.domain import approval
from services.policy.domain.action import Action
from services.policy.domain.policyset_published import Command as SetCommand
from services.policy.domain.policyset_published import PublishedSet
from services.policy.ports.identity import Identity
from services.policy.ports.powers import Words
from services.policy.ports.recording import Budgeting, Record
from services.policy.ports.sets import Opa, PolicySetReader, Rules, Simulations
from services.policy.ports.signing import Signer
from services.policy.ports.told import HeldAgents, Labels, Packets, RecordedErrors, Records


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
    def agents(self) -> HeldAgents: ...
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

    async def last_sequence(self) -> int:
        """Where the log ends at this moment, however much of it is known here. Raises Unavailable."""
        ...

    async def catch_up(self, following: Following) -> None:
        """Wait until all that is in the log at this moment is known here: before a no that others may know to be wrong.

        Raises:
            Unavailable: it is not, in time.
        """
        ...


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
