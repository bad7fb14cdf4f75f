"""What surrounds every method: the internal key, a deadline, faults as statuses, metrics, traces, an orderly end.

Handlers are wrapped once, when they are registered, not by an interceptor per call: that keeps the cost of all of it to
a few microseconds.
"""

import asyncio
import contextlib
import hmac
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import grpc

from chassis import metrics, process, telemetry, tracing
from chassis.rpc.cause import CORRELATION, INTERNAL_KEY, TENANT, TRACEPARENT, Context, read_metadata
from chassis.rpc.ending import refuse, shutting_down, within
from chassis.rpc.peers import Callers
from kernel.faults import Invalid, Unauthenticated

# Generic in its stub only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse = Callable[[bytes], Any]
Tell = Callable[[Any, Any], Awaitable[Any]]
"""From an answer and the context of its call to the answer as it is told."""


class Guard:
    """Wraps method handlers.

    `internal_key` empty means that the handlers authenticate their callers themselves (the gateway's front does).
    `unary_seconds` is how long a unary call may take whose caller set no deadline. `callers` knows who may call what,
    by their certificates; None: they show none.
    """

    def __init__(
        self,
        internal_key: str = "",
        unary_seconds: float = 30.0,
        tell: Tell | None = None,
        callers: Callers | None = None,
    ) -> None:
        self._tell = tell
        self._callers = callers
        self._key = internal_key.encode()
        self._unary_seconds = unary_seconds
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._in_flight = 0

    def handler(self, method: str, handler: Handler) -> Handler:
        """`handler`, guarded; `method` is the full one, as `/provost.policy.v1.Policy/Authorize`."""
        parse = _parsing(handler.request_deserializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._answering(method, handler.unary_unary, parse),
                response_serializer=_serializing(handler.response_serializer),
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._answering(method, handler.stream_unary, None),
                request_deserializer=parse,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream, parse),
                response_serializer=_serializing(handler.response_serializer),
            )
        assert handler.stream_stream is not None
        return grpc.stream_stream_rpc_method_handler(
            self._streaming(method, handler.stream_stream, None),
            request_deserializer=parse,
            response_serializer=handler.response_serializer,
        )

    def end_streams(self) -> None:
        """End every open stream with UNAVAILABLE, reason `SHUTTING_DOWN`.

        A handler may catch the cancellation and raise a fault of its own instead, to hand over a cursor.
        """
        self._draining = True
        for task in self._streams:
            task.cancel()

    async def answered(self) -> None:
        """Wait until no call is in flight, streamed answers apart."""
        while self._in_flight:  # noqa: ASYNC110 - a counter costs each call less than an event would
            await asyncio.sleep(0.01)

    def _answering(
        self, method: str, behaviour: Callable[..., Any], parse: Parse | None
    ) -> Callable[..., Any]:
        calls, admit = metrics.Calls(method), partial(self._admit, method)
        seconds, tell, monotonic = self._unary_seconds, self._tell, process.monotonic

        async def answering(given: Any, context: Context) -> Any:
            started = monotonic()
            self._in_flight += 1
            try:
                admit(context)
                request = given if parse is None else parse(given)
                if context.time_remaining() is None:
                    answer = await within(seconds, behaviour(request, context))
                else:
                    answer = await behaviour(request, context)
                if tell is not None:
                    answer = await tell(answer, context)
            except BaseException as error:  # noqa: BLE001 - whatever it is, no text of it may reach the caller
                await refuse(method, context, error, calls, started)
            finally:
                self._in_flight -= 1
            calls.done("OK", monotonic() - started)
            return answer

        return _traced(method, answering) if tracing.enabled() else answering

    def _streaming(
        self, method: str, behaviour: Callable[..., Any], parse: Parse | None
    ) -> Callable[..., Any]:
        calls, monotonic = metrics.Calls(method), process.monotonic
        yields = inspect.isasyncgenfunction(behaviour)

        # Written to the context rather than yielded, so that every await of the call happens in here.
        async def streaming(given: Any, context: Context) -> None:
            started, task = monotonic(), asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                self._admit(method, context)
                if self._draining:
                    raise shutting_down()
                request = given if parse is None else parse(given)
                if yields:
                    async with contextlib.aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            await context.write(
                                answer if self._tell is None else await self._tell(answer, context)
                            )
                else:
                    writing: Any = context if self._tell is None else _Telling(context, self._tell)
                    await behaviour(request, writing)
            except BaseException as error:  # noqa: BLE001 - as above
                await refuse(method, context, error, calls, started, ending=self._draining)
            finally:
                self._streams.discard(task)
            calls.done("OK", monotonic() - started)

        return _traced(method, streaming) if tracing.enabled() else streaming

    def _admit(self, method: str, context: Context) -> None:
        if self._callers is not None:
            self._callers.check(method, context)
        metadata = read_metadata(context)
        if self._key:
            if not hmac.compare_digest(metadata.get(INTERNAL_KEY, "").encode(), self._key):
                raise Unauthenticated(
                    "INTERNAL_KEY_REFUSED",
                    "only Provost's own processes may call this port; clients call the gateway",
                )
            # Without a key they are whatever a stranger has put there.
            telemetry.enter_call(metadata.get(TENANT, ""), metadata.get(CORRELATION, ""))


class _Telling:
    """A call's context for a handler that writes by itself: its answers are told as those that are yielded."""

    def __init__(self, context: Context, tell: Tell) -> None:
        self._context = context
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, answer: Any) -> None:
        await self._context.write(await self._tell(answer, self._context))


def _parsing(parse: Parse | None) -> Parse:
    if parse is None:
        return bytes

    def parsing(raw: bytes) -> Any:
        try:
            return parse(raw)
        # Protobuf raises DecodeError, and ValueError or RecursionError for some inputs.
        except Exception as error:
            raise Invalid("MALFORMED_MESSAGE", f"the message is not a valid {_name(parse)}") from error

    return parsing


def _serializing(serialize: "Callable[[Any], bytes] | None") -> "Callable[[Any], bytes] | None":
    """An answer that many are given may come as bytes: they go out as they are."""
    if serialize is None:
        return None
    return lambda answer: answer if type(answer) is bytes else serialize(answer)


def _name(parse: Parse) -> str:
    descriptor = getattr(getattr(parse, "__self__", None), "DESCRIPTOR", None)
    return str(getattr(descriptor, "full_name", "message"))


def _traced(method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def traced(request: Any, context: Context) -> Any:
        traceparent = read_metadata(context).get(TRACEPARENT, "")
        with tracing.span(method.lstrip("/"), kind="SERVER", traceparent=traceparent):
            return await behaviour(request, context)

    return traced
