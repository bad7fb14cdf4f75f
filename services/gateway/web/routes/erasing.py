"""Forgetting a subject, and what was forgotten."""

from fastapi import Request

from chassis import process
from services.gateway.domain.records import Erasure, Listing, Page
from services.gateway.web import bodies
from services.gateway.web.auth import Doors, Who
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.shapes import EraseBody, shaped


async def erase_subject(request: Request, gateway: Doors, caller: Who) -> Erasure:
    """Forget a subject of this tenant, for good: the key that its personal data is sealed under is deleted.

    `key_id` is empty when nothing had been sealed for a subject of this name: look whether it is spelt as it was.
    """
    store: bodies.Bodies = request.app.state.bodies
    async with store.read(request) as body:
        given = shaped(EraseBody, bodies.parse_json(body))
    request_id = given.request_id or process.new_id()
    return await gateway.ledger.erase(request_id, given.subject, given.reason, caller)


async def list_erasures(
    gateway: Doors, caller: Who, page_size: PageSize = 0, page_token: PageToken = ""
) -> Listing[Erasure]:
    """What was erased, newest first; subjects are shown by pseudonyms alone."""
    return await gateway.ledger.erasures(Page(page_size, page_token), caller)
