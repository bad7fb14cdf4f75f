"""What a request says besides its path: its body in its shape, and the id under which it has one effect."""

from typing import Annotated

from fastapi import Depends, Header, Request

from chassis import process
from kernel.events import require_token
from services.gateway.domain.faults import InvalidFields
from services.gateway.web import bodies
from services.gateway.web.shapes import S, shaped


async def given(
    request: Request,
    shape: type[S],
    limit_bytes: int = bodies.SMALL_BODY_BYTES,
    *,
    may_be_empty: bool = False,
) -> S:
    """The body of `request`.

    Raises:
        InvalidFields: it is not as `shape` has to be.
        LogTooLarge: it is larger than `limit_bytes`.
    """
    store: bodies.Bodies = request.app.state.bodies
    async with store.read(request, limit_bytes) as body:
        if may_be_empty and not body.strip():
            return shape()
        return shaped(shape, bodies.parse_json(body))


REQUEST_ID = "provost.request_id"
"""Where a request says under which id it has one effect, for an answer that may be another one the next time."""


class Idempotency:
    """The header `Idempotency-Key`, which every route that changes something takes for a `request_id` in the body."""

    def __init__(
        self,
        request: Request,
        idempotency_key: Annotated[
            str | None, Header(description="sent again, it has one effect; as `request_id` in the body")
        ] = None,
    ) -> None:
        self._header = idempotency_key
        self._scope = request.scope

    def id_of(self, request_id: str | None) -> str:
        """The id under which the request has one effect; `request_id` is what its body says.

        Raises:
            Invalid: the header cannot be such an id.
            InvalidFields: body and header differ.
        """
        key = require_token(self._header.strip().strip('"'), "Idempotency-Key") if self._header else None
        if request_id and key and request_id != key:
            text = "is not what the header Idempotency-Key says"
            raise InvalidFields("FIELD_INVALID", (("request_id", text),))
        found: str = request_id or key or process.new_id()
        self._scope[REQUEST_ID] = found
        return found


Once = Annotated[Idempotency, Depends()]
