"""What a service asks of the event log, whatever carries it.

Obligations are stated here once; `tests/contract/` holds every adapter to them.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, TypeVar

from kernel.events import Appended, Cause, Head, Recorded, Stream

Deliver = Callable[[Sequence[Recorded]], Awaitable[None]]
Guard: TypeAlias = Callable[[], Awaitable[object] | None]
"""Asked right before something is sent to the log, at every try: `None` lets it go, an awaitable is to be awaited
before all is decided and it is asked again, and what it raises refuses."""

State_co = TypeVar("State_co", covariant=True)
Command_contra = TypeVar("Command_contra", contravariant=True)


class EventLog(Protocol):
    """The one source of truth. Append is commit: when it answers, the events are on disk."""

    async def append(
        self,
        stream: Stream,
        events: Sequence[object],
        *,
        after: Head,
        cause: Cause,
        guard: Guard | None = None,
    ) -> Appended:
        """Write `events` (domain events, at least one) behind `after`, all or none.

        Safe to repeat: the ids follow from `cause.request_id`, so a second try writes nothing and answers `duplicate`.
        Whoever asks has asked `guard`, in the same step: it is asked again before whatever is sent later than at once.

        Raises:
            AppendConflict: the aggregate's last sequence is not `after.sequence`; nothing was written.
            Exhausted: the log or the message limit is full; nothing was written.
            Unavailable: no answer came. It may have been written: repeat with the same request id to find out.
        """
        ...

    async def load(self, stream: Stream) -> Sequence[Recorded]:
        """Every event of one aggregate, oldest first. For repair and for tools: slow, never on a request's path."""
        ...

    async def last_sequence(self) -> int:
        """The sequence of the newest event in the whole log, 0 when it is empty."""
        ...


class Following(Protocol):
    """A follower at work: delivers in order and without gaps.

    At least once after a restart, never twice while it lives.
    """

    @property
    def position(self) -> int:
        """The sequence up to which everything that matches has been delivered."""
        ...

    @property
    def stale_seconds(self) -> float:
        """How long ago it last knew itself to be at the end of the log."""
        ...

    async def reached(self, sequence: int, timeout_seconds: float = 5.0) -> None:
        """Wait until `position` is at least `sequence`.

        Raises:
            Unavailable: it did not get there in time (reason `FOLLOWER_BEHIND`), or it halted (`FOLLOWER_HALTED`).
        """
        ...


class Aggregates(Protocol[State_co, Command_contra]):
    """Aggregates of one kind, held in memory and fed by the follower."""

    def current(self, tenant: str, id: str) -> State_co:
        """The state now; the initial state if there are no events."""
        ...

    def head(self, tenant: str, id: str) -> Head:
        """Where the aggregate's last event stands."""
        ...

    def sequences(self, tenant: str, id: str) -> tuple[int, ...]:
        """Where its last thousand events stand, oldest first."""
        ...

    def all(self, tenant: str) -> Iterator[tuple[str, State_co]]:
        """Id and state of every aggregate of the tenant that has events, oldest first."""
        ...

    def endings(self, tenant: str) -> Iterator[tuple[str, str]]:
        """Id of each of `all`, and how it ended, as its decider says: cheap, whatever it takes to look at one whole."""
        ...

    def tenants(self) -> frozenset[str]:
        """Every tenant that has an aggregate of this kind."""
        ...

    def answered(self, id: str, command: type[Command_contra], cause: Cause) -> Appended | None:
        """What this request, for such a command, wrote before, if that is known here: of the last thousand events."""
        ...

    async def handle(
        self, id: str, command: Command_contra, cause: Cause, guard: Guard | None = None
    ) -> Appended:
        """Decide and append in `cause.tenant`; on conflict wait, decide again, at most five times.

        `guard` is asked after each decision, with nothing that takes time before it is sent. A request repeated, by
        the same caller for the same kind of command (`Cause.asking`), answers what it answered before. A command that
        changes nothing answers the aggregate's last sequence and no ids.

        Raises:
            Fault: what `decide` or `guard` raised, or what the log raised.
        """
        ...


class Seal(Protocol):
    """The key of one subject at work. What it has sealed is text, and may go wherever text may."""

    @property
    def key_id(self) -> str:
        """May be known to everyone: it says nothing of the subject."""
        ...

    def seal(self, text: str) -> str:
        """`text` in a form that nobody can read without the key; no text stays no text."""
        ...

    def seal_same(self, text: str) -> str:
        """As `seal`, and the same for the same text; what is a whole seal already stays as it is."""
        ...

    def open(self, text: str) -> str:
        """`text` with everything in it that is sealed under this key opened."""
        ...

    def seal_bytes(self, content: bytes) -> bytes: ...

    def open_bytes(self, content: bytes) -> bytes: ...

    def digest(self, digest: str) -> str:
        """In place of a digest of something that can be guessed."""
        ...

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose, to be handed to somebody who shall not have the key."""
        ...


class SubjectKeys(Protocol):
    """The keys that personal data is sealed under, one for each subject of each tenant, until it is erased."""

    async def of_subject(self, tenant: str, subject: str) -> Seal:
        """The key of `subject`, made if there is none. Two who ask at once get the same.

        Raises:
            Unavailable: the keys cannot be reached, or the subject is being erased at this moment.
        """
        ...

    async def of_key(self, tenant: str, key_id: str) -> Seal:
        """The key of this id.

        Raises:
            Refused: it is gone: the subject was erased (`SUBJECT_ERASED`).
            Unavailable: the keys cannot be reached.
        """
        ...
