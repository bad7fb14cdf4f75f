"""Erasing a subject: that its key goes is an event first. Wants, facts, state, decide, evolve."""

from dataclasses import dataclass
from datetime import datetime

from kernel.decider import Decider


@dataclass(frozen=True, slots=True)
class EraseSubject:
    """`key_id` is the key the subject has now; empty when it has none."""

    subject_id: str
    key_id: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SubjectErased:
    subject_id: str
    key_id: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Erased:
    """A subject, and how often it was erased: it may come back, with another key."""

    erasures: tuple[SubjectErased, ...] = ()


def decide(erased: Erased, command: EraseSubject) -> SubjectErased | None:
    """The event; None when there is nothing that was not erased before."""
    if erased.erasures and command.key_id in ("", *(each.key_id for each in erased.erasures)):
        return None
    return SubjectErased(command.subject_id, command.key_id, command.reason, command.by, command.at)


def evolve(erased: Erased, event: SubjectErased) -> Erased:
    return Erased((*erased.erasures, event))


ERASURE: Decider[EraseSubject, Erased, SubjectErased] = Decider("ledger", "erasure", Erased(), decide, evolve)
