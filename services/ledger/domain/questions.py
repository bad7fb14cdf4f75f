"""What can be asked of the ledger, page by page.

A page token says where the next page begins, and bears a hash of the question, so that it cannot be carried over to
another question. It grants nothing: whose rows are seen is the question's tenant, which the caller cannot set. The
cursor of a watch is the same with another mark.

A page is a bounded amount of work, so it may hold fewer rows than asked for, even none, and still not be the last.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import ClassVar, Generic, TypeVar

from kernel.faults import Invalid
from services.ledger.domain.faults import CursorInvalid, PageTokenInvalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
MAX_EVENTS = 250
"""A page of events ends after so many: spelling them out takes longer than finding them."""
MAX_PAGE_BYTES = 1024 * 1024
"""A page ends early when headers and payloads together are larger, so that it fits into one answer."""

Cursor = tuple[int | str, ...]
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """Events of one tenant, newest first unless `oldest_first`; empty means any. Times are microseconds since 1970."""

    tenant: str
    from_us: int | None = None
    to_us: int | None = None
    context: str = ""
    aggregate: str = ""
    aggregate_id: str = ""
    event_type: str = ""
    correlation_id: str = ""
    actor: str = ""
    agent_id: str = ""
    run_id: str = ""
    task_id: str = ""
    oldest_first: bool = False
    action: str = ""
    decision: str = ""

    cursor: ClassVar[tuple[type, ...]] = (int,)


@dataclass(frozen=True, slots=True)
class ReplayQuestion(EventQuestion):
    """Every event of one run."""


@dataclass(frozen=True, slots=True)
class ActionQuestion:
    """Decisions about what agents wanted to do, newest first."""

    tenant: str
    from_us: int | None = None
    to_us: int | None = None
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    action: str = ""
    decision: str = ""

    cursor: ClassVar[tuple[type, ...]] = (int, int)


@dataclass(frozen=True, slots=True)
class AgentQuestion:
    """Every agent's record, by id."""

    tenant: str
    agent_id: str = ""

    cursor: ClassVar[tuple[type, ...]] = (str,)


@dataclass(frozen=True, slots=True)
class ViolationQuestion:
    """Breaches of procedure, newest first."""

    tenant: str
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    error_type: str = ""
    from_us: int | None = None
    to_us: int | None = None

    cursor: ClassVar[tuple[type, ...]] = (int,)


@dataclass(frozen=True, slots=True)
class PromotionQuestion:
    """Changes of tier, newest first."""

    tenant: str
    from_us: int | None = None
    to_us: int | None = None
    agent_id: str = ""
    to_tier: str = ""

    cursor: ClassVar[tuple[type, ...]] = (int,)


@dataclass(frozen=True, slots=True)
class ApprovalQuestion:
    """What people were asked, newest first. `state` is as of `now_us`, which is no part of the question."""

    tenant: str
    from_us: int | None = None
    to_us: int | None = None
    agent_id: str = ""
    task_id: str = ""
    run_id: str = ""
    action: str = ""
    state: str = ""
    now_us: int = field(default=0, compare=False)

    cursor: ClassVar[tuple[type, ...]] = (int,)


@dataclass(frozen=True, slots=True)
class ErasureQuestion:
    """What was erased, newest first."""

    tenant: str

    cursor: ClassVar[tuple[type, ...]] = (int, str, str)


Question = (
    EventQuestion
    | ActionQuestion
    | AgentQuestion
    | ViolationQuestion
    | PromotionQuestion
    | ApprovalQuestion
    | ErasureQuestion
)


@dataclass(frozen=True, slots=True)
class Page:
    """At most `size` rows behind `after`, which is where the last page ended; None is the beginning."""

    size: int
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """Rows, and where they end if there are more."""

    rows: tuple[R, ...]
    end: Cursor | None


def page_of(question: Question, page_size: int, page_token: str) -> Page:
    """The page that is asked for; 0 means 50 rows, more than 500 means 500.

    Raises:
        Invalid: a negative size.
        PageTokenInvalid: not a token, or one of another question.
    """
    if page_size < 0:
        raise Invalid("FIELD_INVALID", "page_size must not be negative", field="page_size")
    size = min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    return Page(size, _cursor(question, page_token) if page_token else None)


def page_of_events(question: EventQuestion, page_size: int, page_token: str) -> Page:
    """As `page_of`, but never larger than `MAX_EVENTS`."""
    page = page_of(question, page_size, page_token)
    return replace(page, size=min(page.size, MAX_EVENTS))


def token_of(question: Question, end: Cursor | None) -> str:
    """The token of the page that begins behind `end`; empty when there is none."""
    return "" if end is None else _token(_mark(question), end)


def watched_to(question: EventQuestion, cursor: str) -> int:
    """The sequence up to which the watch that `cursor` ended has shown everything.

    Raises:
        CursorInvalid: not a cursor, or one of another tenant's watch or of another filter.
    """
    read = _read(cursor, _mark(question, "watch"), question.cursor)
    if read is None:
        raise CursorInvalid
    return int(read[0])


def watch_cursor(question: EventQuestion, sequence: int) -> str:
    """The cursor of a watch that has shown everything up to `sequence`."""
    return _token(_mark(question, "watch"), (sequence,))


def _cursor(question: Question, token: str) -> Cursor:
    cursor = _read(token, _mark(question), question.cursor)
    if cursor is None:
        raise PageTokenInvalid
    return cursor


def _token(mark: str, cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(json.dumps([mark, *cursor]).encode()).decode().rstrip("=")


def _read(token: str, mark: str, kinds: tuple[type, ...]) -> Cursor | None:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        marked, *cursor = json.loads(raw)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        return None
    # bool is an int to Python and a float is none; SQLite holds 64 bits
    if marked != mark or tuple(type(each) for each in cursor) != kinds:
        return None
    if any(isinstance(each, int) and not 0 <= each < 1 << 63 for each in cursor):
        return None
    return tuple(cursor)


def _mark(question: Question, what: str = "list") -> str:
    asked = [(each.name, getattr(question, each.name)) for each in fields(question) if each.compare]
    return sha256(repr((what, type(question).__name__, asked)).encode()).hexdigest()[:16]
