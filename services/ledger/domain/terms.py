"""Terms: what events are found by, and the index that finds them.

A term is a kind, a tenant and a value, as ("run", "default", "run-7"). The index holds no row for each event and term,
but one for each term and block of 256 leaves: which of the block's events bear it. That is a tenth of the rows, and
several terms at once are answered by intersecting blocks. A block is written when it is full; the leaves behind the
last full one are so few that they are looked through.

A term is stored as 64 bits of its hash: what is found that way is a candidate, and is checked before it is answered.
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from services.ledger.domain.entry import Entry
from services.ledger.domain.tree import TILE_WIDTH

BLOCK = TILE_WIDTH
"""A block is the leaves of one full tile of level 0: block n begins with leaf n * BLOCK."""
PART = 65_536
_BITMAP_BYTES = BLOCK // 8
_BITS = tuple(1 << n for n in range(BLOCK))
_ALL = b"\xff" * _BITMAP_BYTES
_HASH_BYTES = 8

TENANT = "tenant"
CONTEXT = "context"
AGGREGATE = "aggregate"
AGGREGATE_ID = "aggregate_id"
EVENT_TYPE = "event_type"
CORRELATION = "correlation"
ACTOR = "actor"
AGENT = "agent"
RUN = "run"
TASK = "task"
ACTION = "action"
DECISION = "decision"

Term = tuple[str, str, str]
"""Kind, tenant, value."""


class Links(NamedTuple):
    """The agents, runs and tasks that an event's payload names; of decisions, the actions and the verdicts too."""

    agents: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()


NO_LINKS = Links()


class Posting(NamedTuple):
    """That events of a block bear a term; `members` says which (see `members_of`)."""

    term: int
    block: int
    members: bytes


class Span(NamedTuple):
    """The least and the greatest `at_us` in a block; None when no event of it has a time."""

    block: int
    from_us: int | None
    to_us: int | None


def terms_of(entry: Entry, links: Links) -> set[Term]:
    """What an event is found by; a kind may occur several times.

    An event is of an agent when the agent is its actor (`agent:<id>`), its aggregate, or named in its payload; of a run
    when the run is its correlation, its aggregate, or named in its payload; of a task when either says so.
    """
    tenant, aggregate = entry.tenant, entry.aggregate
    return {
        *_of_kind(tenant, entry.context, aggregate, entry.event_type, entry.actor),
        *_of_story(tenant, aggregate, entry.aggregate_id, entry.correlation_id),
        *_of_links(tenant, links),
    }


_Kind = tuple[str, str, str, str, str]
_Story = tuple[str, str, str, str]
_Linked = tuple[str, Links]


def _of_kind(tenant: str, context: str, aggregate: str, event_type: str, actor: str) -> list[Term]:
    terms = [
        (TENANT, tenant, ""),
        (CONTEXT, tenant, context),
        (AGGREGATE, tenant, aggregate),
        (EVENT_TYPE, tenant, event_type),
        (ACTOR, tenant, actor),
    ]
    if actor.startswith("agent:"):
        terms.append((AGENT, tenant, actor[6:]))
    return terms


def _of_story(tenant: str, aggregate: str, aggregate_id: str, correlation: str) -> list[Term]:
    terms = [(AGGREGATE_ID, tenant, aggregate_id)]
    if correlation:
        terms += [(CORRELATION, tenant, correlation), (RUN, tenant, correlation)]
    if aggregate in _AGGREGATES:
        terms.append((aggregate, tenant, aggregate_id))
    return terms


def _of_links(tenant: str, links: Links) -> list[Term]:
    return [(kind, tenant, value) for kind, values in zip(_LINKED, links, strict=True) for value in values]


_LINKED = (AGENT, RUN, TASK, ACTION, DECISION)
_AGGREGATES = frozenset((AGENT, RUN, TASK))  # these aggregates are called what their kinds are


def key_of(term: Term) -> int:
    """The 64 bits, as a signed number, that a term is stored as."""
    return _number("\0".join(term))


def id_key(event_id: str) -> int:
    """The 64 bits, as a signed number, that an event is found by when its id is known."""
    return _number(event_id)


KnownId = tuple[int, int, int]
"""That an event has an id with a key: `part_of` its sequence, the key, its sequence."""


def known_id(event_id: str, sequence: int) -> KnownId:
    """What says where the event with an id is."""
    return sequence // PART, _number(event_id), sequence


def part_of(sequence: int) -> int:
    """Which part of the index of ids a sequence is in.

    Ids are random: in one index of all of them each new one would be written somewhere else, to more pages the more
    there are. So they are kept in parts, and one that is looked for is looked for in each.
    """
    return sequence // PART


def members_of(members: bytes) -> int:
    """The members of a block that bear a term, as a bitmap: bit n is leaf n of the block.

    Stored as a bitmap of 32 bytes, bit 0 first, or when they are fewer than 32, as their numbers, one byte each.
    """
    if len(members) == _BITMAP_BYTES:
        return int.from_bytes(members, "little")
    bitmap = 0
    for member in members:
        bitmap |= _BITS[member]
    return bitmap


class Block:
    """The block that is being filled: takes events in order, and gives its postings and span when it is full."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._times: list[int | None] = []
        self._members: defaultdict[Term, list[int]] = defaultdict(list)
        # What neighbours have in common is made into terms once, when the block is full.
        self._kinds: defaultdict[_Kind, list[int]] = defaultdict(list)
        self._stories: defaultdict[_Story, list[int]] = defaultdict(list)
        self._links: defaultdict[_Linked, list[int]] = defaultdict(list)

    @property
    def full(self) -> bool:
        return len(self._times) == BLOCK

    def add(self, terms: Iterable[Term], at_us: int | None) -> None:
        """Take the next event; needs room."""
        for term in terms:
            self._members[term].append(len(self._times))
        self._times.append(at_us)

    def take(self, entry: Entry, links: Links) -> None:
        """As `add` with `terms_of(entry, links)`, quicker."""
        _, _, tenant, context, aggregate, id_, kind, _, correlation, _, actor, at_us, _, _, _ = entry
        n = len(self._times)
        self._kinds[tenant, context, aggregate, kind, actor].append(n)
        self._stories[tenant, aggregate, id_, correlation].append(n)
        if links is not NO_LINKS:
            self._links[tenant, links].append(n)
        self._times.append(at_us)

    def postings(self) -> list[Posting]:
        """What the index says of this block, ordered by term."""
        merged: defaultdict[Term, list[int]] = defaultdict(list)
        for term, members in self._members.items():
            merged[term] += members
        for kind, members in self._kinds.items():
            for term in _of_kind(*kind):
                merged[term] += members
        for story, members in self._stories.items():
            for term in _of_story(*story):
                merged[term] += members
        for linked, members in self._links.items():
            for term in _of_links(*linked):
                merged[term] += members
        # Two terms with one hash are one posting: what is found is checked anyway.
        keyed: defaultdict[int, list[int]] = defaultdict(list)
        for term, members in merged.items():
            keyed[key_of(term)] += members
        return [Posting(key, self.number, _pack(set(n))) for key, n in sorted(keyed.items())]

    def span(self) -> Span:
        known = [at_us for at_us in self._times if at_us is not None]
        return Span(self.number, min(known, default=None), max(known, default=None))


def _pack(members: set[int]) -> bytes:
    if len(members) < _BITMAP_BYTES:
        return bytes(sorted(members))
    if len(members) == BLOCK:
        return _ALL
    return sum(map(_BITS.__getitem__, members)).to_bytes(_BITMAP_BYTES, "little")


def _number(text: str) -> int:
    raw = text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=_HASH_BYTES).digest(), "little", signed=True)
