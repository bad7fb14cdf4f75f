"""Handlers that read their message themselves: nobody's is read before somebody has looked at who sends it.

gRPC reads the message of a unary call before any handler runs, as long as the largest that the server takes, whoever
sends it. A handler of a stream reads when it wants to, and until then a call costs no more than a window of HTTP/2
(RFC 9113, 5.2). On the wire both are the same, so clients notice nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import grpc

from chassis.rpc.cause import Context
from chassis.rpc.faults import answer_of
from chassis.rpc.guard import Handler
from kernel.faults import Fault, Invalid

Messages = AsyncIterator[bytes]


class Strangers(Protocol):
    """What is taken from callers who have shown nothing. Both raise a Fault when it is too much."""

    async def message(self, messages: Messages, context: Context) -> bytes: ...

    def stream(self, context: Context) -> AbstractContextManager[None]: ...


def unread(handler: Handler, strangers: Strangers) -> Handler:
    """`handler`, unary or answering with a stream that it writes, which reads what `strangers` lets it."""
    parse = handler.request_deserializer or bytes
    if handler.unary_unary is not None:
        answer: Any = handler.unary_unary

        async def one(messages: Messages, context: Context) -> Any:
            return await answer(_parsed(parse, await strangers.message(messages, context)), context)

        return grpc.stream_unary_rpc_method_handler(one, response_serializer=handler.response_serializer)
    writes: Any = handler.unary_stream
    if writes is not None:

        async def many(messages: Messages, context: Context) -> None:
            with strangers.stream(context):
                await writes(_parsed(parse, await strangers.message(messages, context)), context)

        return grpc.stream_stream_rpc_method_handler(many, response_serializer=handler.response_serializer)
    talks: Any = handler.stream_stream

    async def exchange(messages: Messages, context: Context) -> None:
        async def read() -> AsyncIterator[Any]:
            async for message in messages:
                yield _parsed(parse, message)

        with strangers.stream(context):
            async for answered in talks(read(), context):
                await context.write(answered)

    return grpc.stream_stream_rpc_method_handler(exchange, response_serializer=handler.response_serializer)


def refusing(handler: Handler) -> Handler:
    """`handler`, made by `unread`, whose faults are answered as such where no guard does it."""
    behaviour: Any = handler.stream_unary or handler.stream_stream
    make: Callable[..., Handler] = (
        grpc.stream_unary_rpc_method_handler
        if handler.stream_unary is not None
        else grpc.stream_stream_rpc_method_handler
    )

    async def answering(messages: Messages, context: Context) -> Any:
        try:
            working: Awaitable[Any] = behaviour(messages, context)
            return await working
        except Fault as fault:
            await context.abort(*answer_of(fault))

    return make(answering, response_serializer=handler.response_serializer)


def _parsed(parse: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return parse(message)
    # Protobuf raises DecodeError, and ValueError or RecursionError for some inputs.
    except Exception as error:
        raise Invalid("MALFORMED_MESSAGE", "the message is not what this method takes") from error
