"""A connection to the gateway's front: a deadline on every call, a few tries when nobody answers, telling errors."""

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self, TypeVar

import grpc
import grpc.aio

from provost_sdk.errors import InvalidRequest, NotAuthenticated, error_of
from provost_sdk.place import certificates_in
from provost_sdk.stale import heard

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_MESSAGE_BYTES = 34 * 1024 * 1024
REPAIR_SECONDS = 600.0

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
        # It waits by itself, and says UNAVAILABLE when the time is up.
        {"name": [{"service": "provost.ledger.v1.LedgerService", "method": "AwaitInclusion"}]},
    ]
}


class Connection:
    """To `address` (`host:port`, or `https://host:port`), in the name of `key`.

    Encrypted when the address says https, or when there is a `ca_file`: the authority that issued what the gateway
    shows, where that is not a public one.

    `tenant` is for who has no key but credentials of its own, as an agent that opens its session: whose they are. A
    key says itself whose it is.

    Raises:
        NotAuthenticated: KEY_UNKNOWN; there is something in the key that no key has.
        InvalidRequest: FIELD_INVALID, there are no certificates in the file; MALFORMED_ID, of the tenant.
    """

    def __init__(
        self, address: str, key: str, timeout_seconds: float, ca_file: Path | None = None, tenant: str = ""
    ) -> None:
        shown = {"x-api-key": _shown(key), "x-tenant": _named(tenant)}
        options = [
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
            ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES + 65_536),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        target = address.removeprefix("https://").rstrip("/")
        if ca_file is None and target == address:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            credentials = grpc.ssl_channel_credentials(None if ca_file is None else _authorities(ca_file))
            self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        self._metadata = tuple((name, value) for name, value in shown.items() if value)
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def reached(self) -> bool:
        """Whether somebody takes the connection; nothing is asked over it."""
        ready, down = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
        while (state := self._channel.get_state(try_to_connect=True)) not in (ready, down):
            await self._channel.wait_for_state_change(state)
        return state is ready

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_seconds: float | None = None,
    ) -> Response:
        seconds = timeout_seconds or self._timeout_seconds
        asked = method(request, metadata=self._metadata, timeout=seconds)
        try:
            answer = await asked
            heard(await asked.trailing_metadata())
            return answer
        except grpc.aio.AioRpcError as error:
            raise error_of(error, request, seconds) from None

    async def _answers(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
        timeout_seconds: float | None = REPAIR_SECONDS,
    ) -> AsyncIterator[Response]:
        answers = method(request, metadata=self._metadata, timeout=timeout_seconds)
        try:
            async for answer in answers:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise error_of(error, request, timeout_seconds) from None
        finally:
            answers.cancel()


def _shown(key: str) -> str:
    """A key as it is sent: without what surrounds it in a file. Raises NotAuthenticated: it cannot be one."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        text = "the API key is none: it has a line break, or a character that is not printable ASCII, in it"
        raise NotAuthenticated("KEY_UNKNOWN", text)
    return key


def _named(tenant: str) -> str:
    """Raises InvalidRequest: no tenant can be called so, and it cannot be sent."""
    if not (tenant.isascii() and tenant.isprintable()):
        text = "tenant must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'"
        raise InvalidRequest("MALFORMED_ID", text, {"field": "tenant"})
    return tenant


def _authorities(file: Path) -> bytes:
    """Raises InvalidRequest: there are no certificates in it."""
    try:
        return certificates_in(file, "ca_file")
    except ValueError as problem:
        raise InvalidRequest("FIELD_INVALID", str(problem), {"field": "ca_file"}) from None


def new_request_id() -> str:
    """An id under which a request has one effect, however often it is sent."""
    return uuid.uuid4().hex
