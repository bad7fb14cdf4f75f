"""What the ledger is asked about events and what they add up to. Whose rows are seen is the question's tenant."""

from services.ledger.domain.entry import Entry
from services.ledger.domain.faults import EventUnknown
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    ApprovalQuestion,
    EventQuestion,
    Listed,
    PromotionQuestion,
    ViolationQuestion,
    page_of,
    page_of_events,
)
from services.ledger.domain.rows import ActionRow, AgentRow, ApprovalRow, PromotionRow, ViolationRow
from services.ledger.ports.book import Book


class Answers:
    """Reads from the book. Every list may raise Invalid (a negative page size) and PageTokenInvalid."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def event(self, tenant: str, event_id: str) -> Entry:
        """Raises EventUnknown: the tenant has no such event."""
        entry = await self._book.event(tenant, event_id) if event_id else None
        if entry is None:
            raise EventUnknown(event_id)
        return entry

    async def events(self, question: EventQuestion, page_size: int, page_token: str) -> Listed[Entry]:
        return await self._book.events(question, page_of_events(question, page_size, page_token))

    async def actions(self, question: ActionQuestion, page_size: int, page_token: str) -> Listed[ActionRow]:
        return await self._book.actions(question, page_of(question, page_size, page_token))

    async def agents(self, question: AgentQuestion, page_size: int, page_token: str) -> Listed[AgentRow]:
        return await self._book.agents(question, page_of(question, page_size, page_token))

    async def violations(
        self, question: ViolationQuestion, page_size: int, page_token: str
    ) -> Listed[ViolationRow]:
        return await self._book.violations(question, page_of(question, page_size, page_token))

    async def promotions(
        self, question: PromotionQuestion, page_size: int, page_token: str
    ) -> Listed[PromotionRow]:
        return await self._book.promotions(question, page_of(question, page_size, page_token))

    async def approvals(
        self, question: ApprovalQuestion, page_size: int, page_token: str
    ) -> Listed[ApprovalRow]:
        return await self._book.approvals(question, page_of(question, page_size, page_token))
