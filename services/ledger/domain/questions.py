"""What can be asked of the ledger, page by page.

A page token says where the next page begins, and bears a hash of the question, so that it cannot be carried over to
another question. It grants nothing: whose rows are seen is the question's tenant, which the caller cannot set.
"""

import base64
import binascii
import json
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from kernel.faults import Invalid
from services.ledger.domain.faults import PageTokenInvalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
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
    oldest_first: bool = False


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


@dataclass(frozen=True, slots=True)
class AgentQuestion:
    """Every agent's record, by id."""

    tenant: str


@dataclass(frozen=True, slots=True)
class ViolationQuestion:
    """Breaches of procedure, newest first."""

    tenant: str
    agent_id: str = ""


Question = EventQuestion | ActionQuestion | AgentQuestion | ViolationQuestion


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


def token_of(question: Question, end: Cursor | None) -> str:
    """The token of the page that begins behind `end`; empty when there is none."""
    if end is None:
        return ""
    return base64.urlsafe_b64encode(json.dumps([_mark(question), *end]).encode()).decode().rstrip("=")


def _cursor(question: Question, token: str) -> Cursor:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        mark, *cursor = json.loads(raw)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise PageTokenInvalid from None
    kinds = [str] if isinstance(question, AgentQuestion) else [int, int]
    if isinstance(question, EventQuestion | ViolationQuestion):
        kinds = [int]
    # bool is an int to Python and a float is none; SQLite holds 64 bits
    if mark != _mark(question) or [type(each) for each in cursor] != kinds:
        raise PageTokenInvalid
    if any(isinstance(each, int) and not 0 <= each < 1 << 63 for each in cursor):
        raise PageTokenInvalid
    return tuple(cursor)


def _mark(question: Question) -> str:
    return sha256(repr((type(question).__name__, astuple(question))).encode()).hexdigest()[:16]
