"""What state needs of the world: a store to read from, a place for artifacts, the log's history.

What the event log itself must do is said in `kernel.ports`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kernel.events import Recorded, Stream
from services.state.domain.documents import Content, Document
from services.state.domain.labels import Labelling
from services.state.domain.taken import SnapshotTaken
from services.state.domain.view import Place


class Clock(Protocol):
    """The time, for what waits or is watched."""

    def now(self) -> datetime:
        """By the wall, aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """The texts that were asked for, in that order, and up to where the store had been filled when they were read."""

    values: Sequence[str | None]
    position: int | None


class Store(Protocol):
    """A Redis-protocol store that may lose everything at any moment, and say so by its position.

    Every method raises Unavailable, reason `STORE_UNREACHABLE`, when there is no answer; what it was asked to change
    may then have been changed, and may be asked again. It is `StoreSpoiled` when something lies there that the log
    never said, such as a list in the place of a text: wipe it.
    """

    async def read(self, places: Sequence[Place]) -> Reading:
        """Texts, in one round trip: `None` for one that is not there, and for a sign of life that is no time.

        The position is read last, so that texts lost meanwhile show.
        """
        ...

    async def write(self, documents: Sequence[Document], at: datetime) -> Sequence[Place]:
        """Apply what is newer than what is there, key by key; `at` is now, for what has a time to live.

        Safe to repeat, in any order, by any number of writers, each of which sends, of a table, every field that has
        changed since it last wrote that table, together. Answers the lists of which earlier items are missing, and
        the tables that are not there: send those whole.
        """
        ...

    async def position(self) -> int | None:
        """Up to which sequence it is filled; `None` after a loss."""
        ...

    async def advance(self, known: int, to: int) -> bool:
        """Say that everything up to `to` is applied; `False`, and nothing said, if the position is behind `known`."""
        ...

    async def begin_fill(self, mark: str) -> None:
        """Set a mark of one's own, before the store is filled from nothing. Any number may fill it at once."""
        ...

    async def finish_fill(self, mark: str, to: int) -> bool:
        """Say that it is filled up to `to`; `False`, and nothing said, if the mark has been lost meanwhile."""
        ...

    async def wipe(self) -> None:
        """Remove everything of state, and nothing else. All marks are lost, and none can be set before it is done."""
        ...

    async def dump(self) -> Mapping[str, Content]:
        """Every derived key and what it holds; position, marks and guards aside."""
        ...


class Mirror(Protocol):
    """The store as it is kept up with the log."""

    async def read(self, places: Sequence[Place]) -> Sequence[str | None]:
        """Texts that contain every event that had been followed before the call.

        Raises Unavailable, reason `STORE_UNREACHABLE`.
        """
        ...

    async def heartbeat(self, tenant: str, agent_id: str) -> str | None:
        """When the agent was last heard of, by whichever process; of others than this one what it was a moment ago.

        Raises Unavailable, reason `STORE_UNREACHABLE`.
        """
        ...

    async def beat(
        self, tenant: str, agent_id: str, at: datetime, expire_time: datetime, *, active: bool = False
    ) -> None:
        """Note a sign of life, and whether the agent did something new.

        Raises Unavailable, reason `STORE_UNREACHABLE`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rebuilt:
    events: int
    state_hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    equal: bool
    store_hash: str
    log_hash: str
    differing_keys: tuple[str, ...]
    """Of all tenants, in order; then those that differ in memory, and are said to."""
    at_sequence: int


class Audit(Protocol):
    """The store, the memory of this process and the log, compared; the store made equal."""

    async def rebuild(self) -> Rebuilt:
        """Wipe the store and fill it from the log. Raises Unavailable."""
        ...

    async def verify(self) -> Verdict:
        """Compare the store and the memory with the log. Raises Unavailable."""
        ...


class History(Protocol):
    """The log from its beginning, for checking and repair."""

    async def replay(self, take: Callable[[Recorded], None], after: int, upto: int) -> None:
        """Hand every event that concerns state, behind sequence `after` and up to `upto`, to `take`, oldest first.

        Raises Unavailable when the log does not answer.
        """
        ...

    async def last_sequence(self) -> int:
        """The newest sequence in the log. Raises Unavailable."""
        ...


class Recall(Protocol):
    """What was written long ago, for who asks again."""

    async def event(self, stream: Stream, sequence: int) -> object:
        """The event of an aggregate at `sequence`. Slow. Raises Unavailable, Unreadable."""
        ...

    async def last_sequence(self) -> int:
        """Where the log ends now: before a no that another replica may know to be wrong. Raises Unavailable."""
        ...


class Contents(Protocol):
    """Bytes by their hash, each tenant's apart."""

    async def hash(self, content: bytes) -> str:
        """The hex SHA-256 of `content`."""
        ...

    async def put(self, tenant: str, sha256: str, content: bytes) -> None:
        """Keep `content`, whose hash it is: on disk when this returns, whole or not at all. Safe to repeat.

        Stored again, it is as new, and is kept from then on.

        Raises:
            Exhausted: there is no room (reason `ARTIFACTS_FULL`).
            Unavailable: it may have been kept; ask again.
        """
        ...

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        """The bytes, checked against the hash; `None` when they are not there, or are not what they were.

        Raises Unavailable.
        """
        ...

    async def renew(self, tenant: str, sha256: str) -> bool:
        """Keep it from now on, as if it were stored again; whether it is there. Raises Unavailable."""
        ...


class Sets(Protocol):
    """What the policy sets in force say to state."""

    def labelling(self, tenant: str) -> Labelling:
        """The labels that may be used."""
        ...

    def patience_seconds(self, tenant: str) -> float:
        """How long an agent at work may get nowhere before it is said to be stuck."""
        ...


class Naming(Protocol):
    """The log's word on which snapshots there are."""

    async def newest(self, count: int) -> Sequence[SnapshotTaken]:
        """At most so many, newest first. Raises Unavailable, Unreadable."""
        ...

    async def name(self, taken: SnapshotTaken, request_id: str) -> bool:
        """Say that it was taken; `False`, and nothing said, when another process has just said so of its own.

        Raises Unavailable, Exhausted.
        """
        ...


class Artifacts(Contents, Protocol):
    """Contents that go again, by when they were stored (seconds since 1970). Every method may raise Unavailable."""

    async def keep_only(self, tenant: str, names: frozenset[str], before: float = math.inf) -> int:
        """Delete what is of `tenant`, older than `before`, and has none of these hashes; how many that were."""
        ...

    async def forget_before(self, before: float, but: frozenset[str] = frozenset()) -> int:
        """Delete what is older than `before`, unless its name, `<tenant>/<sha256>`, is among `but`; how many contents
        those were."""
        ...

    async def sweep(self, before: float) -> int:
        """Delete what was begun before then and never finished; how many of those there were.

        What another process has just begun must stay: it is about to be named.
        """
        ...
