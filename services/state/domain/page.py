"""Pages of a list that only grows: a token is a place in it, and stays right while the list grows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.state.domain.faults import FieldInvalid, PageTokenInvalid

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 500
T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    next_page_token: str = ""


def after_first(items: Sequence[T], page_size: int, page_token: str) -> Page[T]:
    """A page of `items`, from the oldest on. Raises Invalid."""
    first = _place(page_token) if page_token else 0
    end = first + page_size_of(page_size)
    return Page(tuple(items[first:end]), str(end) if len(items) > end else "")


def before_last(items: Sequence[T], page_size: int, page_token: str) -> Page[T]:
    """A page of `items`, from the newest back. Raises Invalid."""
    end = min(_place(page_token), len(items)) if page_token else len(items)
    first = max(0, end - page_size_of(page_size))
    return Page(tuple(reversed(items[first:end])), str(first) if first else "")


def after_name(
    of: str, items: Sequence[T], name_of: Callable[[T], str], page_size: int, page_token: str
) -> Page[T]:
    """A page of `items`, which are in the order of their names: the token is the name that was shown last, so that none
    is passed over while others come and go. It begins with what it is a list `of`: any text could be such a name.

    Raises Invalid.
    """
    size = page_size_of(page_size)
    name = page_token.removeprefix(f"{of}.")
    if page_token and (name == page_token or not _NAME.fullmatch(name)):
        raise PageTokenInvalid
    rest = [each for each in items if name_of(each) > name]
    return Page(tuple(rest[:size]), f"{of}.{name_of(rest[size - 1])}" if len(rest) > size else "")


def page_size_of(page_size: int) -> int:
    """How many items a page has; 0 leaves it to us. Raises Invalid."""
    if page_size < 0:
        raise FieldInvalid("page_size", f"must be 0 (for {DEFAULT_PAGE_SIZE}) to {MAX_PAGE_SIZE}")
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _place(page_token: str) -> int:
    if not (page_token.isascii() and page_token.isdigit() and 0 < len(page_token) <= 12 and int(page_token)):
        raise PageTokenInvalid
    return int(page_token)


def number_of(page_token: str) -> int | None:
    """The number that a page token is, where pages go by numbers that items bear. Raises Invalid."""
    if not page_token:
        return None
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) <= 20):
        raise PageTokenInvalid
    return int(page_token)
