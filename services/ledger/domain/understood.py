"""What the ledger understands of an event's payload: the fact it tells, and who and what it names."""

from collections.abc import Callable
from typing import NamedTuple

from services.ledger.domain.entry import Entry
from services.ledger.domain.facts import Fact
from services.ledger.domain.terms import NO_LINKS, Links


class Understood(NamedTuple):
    """The fact an event tells, if it tells one, and its links."""

    fact: Fact | None = None
    links: Links = NO_LINKS


NOTHING = Understood()
Understand = Callable[[Entry], Understood]
"""Understands an event; `NOTHING` is made of one that is unknown or cannot be read. Never raises."""
