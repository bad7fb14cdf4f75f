"""What a book is asked about events and what follows from them, as searches: the same in every database."""

from abc import ABC, abstractmethod
from typing import TypeVar

from services.ledger.adapters import listing, searching
from services.ledger.adapters.searching import Search
from services.ledger.domain.entry import Entry
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    ApprovalQuestion,
    EventQuestion,
    Listed,
    Page,
    PromotionQuestion,
    ViolationQuestion,
)
from services.ledger.domain.rows import ActionRow, AgentRow, ApprovalRow, PromotionRow, ViolationRow
from services.ledger.domain.understood import Understand

T = TypeVar("T")


class Lookups(ABC):
    """The part of `ports.Book` that asks; a book says how its database is searched."""

    def __init__(self, understand: Understand) -> None:
        self._understand = understand

    @abstractmethod
    async def _find(self, search: Search[T]) -> T:
        """What the search finds in the book as it is now."""

    async def event(self, tenant: str, event_id: str) -> Entry | None:
        return await self._find(searching.event(tenant, event_id))

    async def events(self, question: EventQuestion, page: Page) -> Listed[Entry]:
        return await self._find(searching.events(question, page, self._understand))

    async def actions(self, question: ActionQuestion, page: Page) -> Listed[ActionRow]:
        return await self._find(listing.actions(question, page))

    async def agents(self, question: AgentQuestion, page: Page) -> Listed[AgentRow]:
        return await self._find(listing.agents(question, page))

    async def violations(self, question: ViolationQuestion, page: Page) -> Listed[ViolationRow]:
        return await self._find(listing.violations(question, page))

    async def promotions(self, question: PromotionQuestion, page: Page) -> Listed[PromotionRow]:
        return await self._find(listing.promotions(question, page))

    async def approvals(self, question: ApprovalQuestion, page: Page) -> Listed[ApprovalRow]:
        return await self._find(listing.approvals(question, page))

    async def effect(self, tenant: str, effect_id: str) -> int | None:
        return await self._find(listing.effect(tenant, effect_id))

    async def decision(self, tenant: str, decision_id: str) -> int | None:
        return await self._find(listing.decision(tenant, decision_id))

    async def approval(self, tenant: str, approval_id: str) -> ApprovalRow | None:
        return await self._find(listing.approval(tenant, approval_id))
