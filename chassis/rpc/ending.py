"""How a call ends that has no answer: refused, failed, given up, too late, or because the server stops."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn

import grpc
import grpc.aio

from chassis import metrics, process, telemetry
from chassis.rpc.faults import Answer, answer_of
from kernel.faults import Fault, Unavailable

LAST_WORDS_SECONDS = 1.0  # for a stream whose reader does not read
_log = telemetry.get_logger("chassis.rpc")


async def refuse(
    method: str,
    context: grpc.aio.ServicerContext[Any, Any],
    error: BaseException,
    calls: metrics.Calls,
    started: float,
    *,
    ending: bool = False,
) -> NoReturn:
    """End the call as `error` deserves, and count it: by its status, or by raising `error` again where it has one or
    was cancelled. `started` is when it began, by the monotonic clock; `ending` says that it is a stream whose server
    stops: then it has `LAST_WORDS_SECONDS` for its status.
    """
    if ending and isinstance(error, asyncio.CancelledError) and not context.done():
        error = shutting_down()
    code, text, trailing = Answer(grpc.StatusCode.INTERNAL, "", ())
    match error:
        case Fault():
            code, text, trailing = answer_of(error)
        case grpc.aio.AbortError():
            calls.done(context.code().name, process.monotonic() - started)
            raise error
        case asyncio.CancelledError() | KeyboardInterrupt() | SystemExit():
            calls.done("CANCELLED", process.monotonic() - started)
            raise error
        case TookTooLong():
            code, text = grpc.StatusCode.DEADLINE_EXCEEDED, str(error)
        case _:
            trouble = process.new_id()
            text = f"internal error; the server's log has more under {trouble}"
            _log.error("call failed", method=method, trouble=trouble, exc_info=error)
    calls.done(code.name, process.monotonic() - started)
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS if ending else None):
            # What the handler has said besides holds of a refusal, too.
            await context.abort(code, text, (*trailing, *context.trailing_metadata()))
    except TimeoutError:
        raise asyncio.CancelledError from None


def shutting_down() -> Unavailable:
    """What calls are told that come too late, and streams that are ended."""
    return Unavailable("SHUTTING_DOWN", "this server is stopping; try again")


class TookTooLong(Exception):
    """A call without a deadline took longer than we let it."""


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """What `work` comes to, if it does in time.

    Raises:
        TookTooLong: it did not, and was cancelled.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise TookTooLong(f"not done in {seconds:g} s; set a deadline to allow more") from None
        raise  # the work's own, and then a bug
