"""Lists come in pages; a token is the id of the last one shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kernel.faults import Invalid

DEFAULT_SIZE = 100
MAX_SIZE = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items; `next_token` is empty on the last page."""

    items: tuple[Item, ...]
    next_token: str


def size_of(asked: int) -> int:
    """How many to show: `asked`, at most 1000, 100 when it is 0.

    Raises:
        Invalid: `asked` is negative.
    """
    if asked < 0:
        raise Invalid("FIELD_INVALID", "page_size must not be negative", field="page_size")
    return min(asked, MAX_SIZE) or DEFAULT_SIZE


def page_of(items: Iterable[tuple[str, Item]], size: int) -> Page[Item]:
    """The first `size` of `items`, which are pairs of token and item."""
    shown: list[tuple[str, Item]] = []
    for pair in items:
        if len(shown) == size:
            return Page(tuple(item for _, item in shown), shown[-1][0])
        shown.append(pair)
    return Page(tuple(item for _, item in shown), "")


def after(ids: Iterable[str], token: str) -> Iterable[str]:
    """Those of `ids` that come behind `token`; all of them when it is empty.

    Raises:
        Invalid: `token` is none of `ids`.
    """
    rest = iter(ids)
    if token and not any(each == token for each in rest):
        raise Invalid(
            "PAGE_TOKEN_INVALID", "page_token is not from this list: begin again", field="page_token"
        )
    return rest
