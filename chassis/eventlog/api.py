"""NATS' JetStream API: how it is asked, for how long, and what its answers mean."""

import asyncio
import json
from functools import partial
from typing import Any

from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from chassis.process import jitter, monotonic
from kernel.faults import Exhausted, Fault, Unavailable

PATIENCE_SECONDS = 5.0
"""How long a call is tried again before the log counts as unreachable."""
TRY_SECONDS = 2.0
NO_MESSAGE, NO_STREAM, _NAME_IN_USE, _NO_STORAGE = 10037, 10059, 10058, 10047


def unreachable(why: str) -> Unavailable:
    return Unavailable("LOG_UNREACHABLE", f"the event log does not answer ({why}); try again")


async def call(
    connection: Connection,
    subject: str,
    body: dict[str, Any] | None = None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> dict[str, Any]:
    """One JetStream API call, repeated while there is no answer; an error answer is returned, not raised.

    Raises:
        Unavailable: no answer within `patience_seconds` (reason `LOG_UNREACHABLE`).
    """
    patience = Patience(patience_seconds)
    request = json.dumps(body).encode() if body else b""
    while True:
        try:
            header, payload = await connection.ask(
                f"$JS.API.{subject}", request, timeout_seconds=patience.try_seconds()
            )
        except (NotConnected, AnswerLost) as problem:
            await patience.wait(connection, problem)
            continue
        if not header:
            answer: dict[str, Any] = json.loads(payload)
            if answer.get("error", {}).get("code") != 503:
                return answer
        await patience.wait(connection, None)


class Patience:
    """How long a try may still take, and when to give up."""

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds
        self._pause = 0.02

    def try_seconds(self) -> float:
        return min(TRY_SECONDS, self.left_seconds())

    def left_seconds(self) -> float:
        return max(0.05, self._until - monotonic())

    async def wait(self, connection: Connection, problem: Exception | None) -> None:
        """Until it makes sense to try again.

        Raises:
            Unavailable: patience is at its end.
        """
        left = self._until - monotonic()
        if left <= 0 and isinstance(problem, Fault):
            raise problem
        if left <= 0:
            raise unreachable("no leader" if problem is None else type(problem).__name__)
        if isinstance(problem, NotConnected):
            await connection.wait_connected(left)
            return
        self._pause = min(0.5, self._pause * 2)
        await asyncio.sleep(min(left, self._pause / 2 + jitter(self._pause / 2)))


async def found_or_made(
    connection: Connection, wanted: dict[str, Any], *, patience_seconds: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    """What STREAM.INFO says of the stream with the name in `wanted`, which is made when it is not there.

    Raises:
        Exhausted: there is no room for it (reason `LOG_FULL`).
        Unavailable: no answer came.
    """
    ask = partial(call, connection, patience_seconds=patience_seconds)
    info, create = (f"STREAM.{what}.{wanted['name']}" for what in ("INFO", "CREATE"))
    # Ask first: creating an identical stream can be refused when its size no longer fits beside itself.
    found = await ask(info)
    if found.get("error", {}).get("err_code") == NO_STREAM:
        found = await ask(create, wanted)
        if found.get("error", {}).get("err_code") == _NAME_IN_USE:
            found = await ask(info)
    check_answer(found)
    return found


def message_of(answer: dict[str, Any]) -> dict[str, Any] | None:
    """The message in an answer of STREAM.MSG.GET; None when it is not there. Raises Unavailable."""
    if "error" not in answer:
        message: dict[str, Any] = answer["message"]
        return message
    if answer["error"]["err_code"] == NO_MESSAGE:
        return None
    raise unreachable(answer["error"]["description"])


def check_answer(answer: dict[str, Any]) -> None:
    """Raises what an error answer about the stream means: Exhausted (`LOG_FULL`) or Unavailable."""
    error = answer.get("error")
    if error is None:
        return
    if error["err_code"] == _NO_STORAGE:
        raise Exhausted(
            "LOG_FULL",
            "no room for a stream of this size: free some, or ask for less (PROVOST_LOG_MAX_BYTES)",
        )
    raise unreachable(error["description"])
