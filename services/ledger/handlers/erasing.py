"""Forgetting a subject. The event is first, the key goes next; after a crash in between the follower sees to it."""

from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from operator import itemgetter
from typing import Protocol

from kernel.events import Cause, derived_id
from kernel.faults import Invalid
from kernel.ports import Aggregates
from services.ledger.domain.entry import microseconds
from services.ledger.domain.erasure import Erased, EraseSubject, SubjectErased
from services.ledger.domain.questions import ErasureQuestion, page_of, token_of

MAX_SUBJECT_CHARACTERS, MAX_REASON_CHARACTERS = 200, 1000
ACTOR = "service:ledger"


class ErasableKeys(Protocol):
    """The keys of subjects, as somebody needs them who may delete them."""

    def subject_id(self, tenant: str, subject: str) -> str:
        """The subject's pseudonym."""
        ...

    async def key_of(self, tenant: str, subject_id: str) -> str:
        """The id of its key; empty when it has none. Raises Unavailable."""
        ...

    async def delete(self, tenant: str, subject_id: str, key_id: str) -> None:
        """Gone for good when this returns; safe to repeat. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Erasure:
    """`sequence` is that of the event; 0 when it is not known here any more."""

    sequence: int
    event: SubjectErased


class Erasing:
    def __init__(self, keys: ErasableKeys, erasures: Aggregates[Erased, EraseSubject]) -> None:
        self._keys = keys
        self._erasures = erasures

    async def erase(self, subject: str, reason: str, cause: Cause) -> Erasure:
        """Forget `subject` of the caller's tenant; once this answers, the key is gone.

        Raises:
            Invalid: the subject or the reason is missing or too long.
            Unavailable: the log or the keys cannot be reached; ask again.
        """
        _require(subject, "subject", MAX_SUBJECT_CHARACTERS)
        _require(reason, "reason", MAX_REASON_CHARACTERS)
        subject_id = self._keys.subject_id(cause.tenant, subject)
        key_id = await self._keys.key_of(cause.tenant, subject_id)
        command = EraseSubject(subject_id, key_id, reason, cause.actor, cause.at)
        appended = await self._erasures.handle(subject_id, command, cause)
        erased = self._erasures.current(cause.tenant, subject_id).erasures
        for each in erased:
            await self._keys.delete(cause.tenant, subject_id, each.key_id)
        return Erasure(appended.sequence, erased[-1])

    async def expire(self, tenant: str, subject_id: str, key_id: str, days: float, at: datetime) -> None:
        """Erase what is older than it is to be kept. Safe to repeat, also by several at once.

        Raises:
            Unavailable, AppendConflict: ask again.
        """
        cause = Cause(tenant, derived_id(tenant, "expire", key_id), ACTOR, at)
        command = EraseSubject(subject_id, key_id, f"older than {days:g} days", ACTOR, at)
        await self._erasures.handle(subject_id, command, cause)
        await self._keys.delete(tenant, subject_id, key_id)

    async def finish(self, tenant: str, erased: SubjectErased) -> None:
        """What `erase` does behind its event; for whoever finds the event and does not know whether it was done."""
        if erased.key_id:
            await self._keys.delete(tenant, erased.subject_id, erased.key_id)

    def listed(self, tenant: str, page_size: int, page_token: str) -> tuple[list[Erasure], str]:
        """Erasures of the tenant, newest first, and the token of the next page.

        Raises:
            PageTokenInvalid, Invalid: as every list.
        """
        question = ErasureQuestion(tenant)
        page = page_of(question, page_size, page_token)
        behind = (
            (_place(event), event, subject_id, erased)
            for subject_id, erased in self._erasures.all(tenant)
            for event in erased.erasures
            if page.after is None or _place(event) < page.after
        )
        found = nlargest(page.size + 1, behind, key=itemgetter(0))
        shown = [
            Erasure(
                self._erasures.head(tenant, subject_id).sequence if event is erased.erasures[-1] else 0, event
            )
            for _, event, subject_id, erased in found[: page.size]
        ]
        more = len(found) > page.size
        return shown, token_of(question, found[page.size - 1][0] if more else None)


def _place(event: SubjectErased) -> tuple[int, str, str]:
    return microseconds(event.at), event.subject_id, event.key_id


def _require(text: str, field: str, most: int) -> None:
    if not text.strip() or len(text) > most or not text.isprintable() or text != text.strip():
        said = f"{field} must be 1 to {most} printable characters, without spaces around them"
        raise Invalid("FIELD_INVALID" if text else "FIELD_MISSING", said, field=field)
