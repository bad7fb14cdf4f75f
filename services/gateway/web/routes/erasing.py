"""Forgetting a subject, and what was forgotten."""

from fastapi import Request

from services.gateway.domain.records import Erasure, Listing, Page
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.shapes import EraseBody


async def erase_subject(request: Request, gateway: Doors, caller: Who, once: Once) -> Erasure:
    """Forget a subject of this tenant, for good: the key that its personal data is sealed under is deleted.

    `key_id` is empty when nothing had been sealed for a subject of this name: look whether it is spelt as it was.
    """
    said = await given(request, EraseBody)
    return await gateway.ledger.erase(once.id_of(said.request_id), said.subject, said.reason, caller)


async def list_erasures(
    gateway: Doors, caller: Who, page_size: PageSize = 0, page_token: PageToken = ""
) -> Listing[Erasure]:
    """What was erased, newest first; subjects are shown by pseudonyms alone."""
    return await gateway.ledger.erasures(Page(page_size, page_token), caller)
