"""Requests as they come, answered as they are done: how a stream is kept within bounds.

So many are worked on at once, and so many at most are held, waiting or answered: the next one is read when an answer
has been taken off our hands. A client that never reads is not read either.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

R = TypeVar("R")
A = TypeVar("A")


class Answering(Generic[R, A]):
    """Answers each of `requests` with `answer`, which never raises; `most` of them are held at any time."""

    def __init__(self, requests: AsyncIterator[R], answer: Callable[[R], Awaitable[A]], most: int) -> None:
        self._requests = requests
        self._answer = answer
        self._room = asyncio.Semaphore(most)
        self._answers: asyncio.Queue[A | None] = asyncio.Queue()

    async def answers(self) -> AsyncIterator[A]:
        """In the order they are done. Raises what `requests` raises, once what came before is answered."""
        reading = asyncio.create_task(self._read(), name="requests of a stream")
        try:
            while (answer := await self._answers.get()) is not None:
                yield answer
                self._room.release()
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _read(self) -> None:
        failure: Exception | None = None
        async with asyncio.TaskGroup() as at_work:  # cancelled with us
            try:
                async for request in self._requests:
                    await self._room.acquire()
                    at_work.create_task(self._work(request))
            except Exception as error:  # noqa: BLE001 - raised below: those at work are to be done first
                failure = error
        self._answers.put_nowait(None)
        if failure is not None:
            raise failure

    async def _work(self, request: R) -> None:
        self._answers.put_nowait(await self._answer(request))
