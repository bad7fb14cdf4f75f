"""An asynchronous client, used by code that waits: its loop runs in a thread of its own."""

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, Self, TypeVar

T = TypeVar("T")
_END: Any = object()


class Blocking:
    """Every coroutine method of what `make` makes as one that waits, every asynchronous iterator as an iterator.

    `make` is called in the loop. May be used from several threads; not from inside a coroutine, which would stop its
    own loop: that is what the asynchronous client is for.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="provost", daemon=True)
        self._thread.start()

        async def made() -> Any:
            return make()

        try:
            self._client = self._wait(made())
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not callable(method := getattr(self._client, name, None)):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        if inspect.isasyncgenfunction(method):
            return lambda *given, **more: self._each(method(*given, **more))
        return lambda *given, **more: self._wait(method(*given, **more))

    def close(self) -> None:
        """End the connection and the thread. Safe to repeat."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _each(self, answers: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> T:
            return await anext(answers, _END)

        try:
            while (answer := self._wait(following())) is not _END:
                yield answer
        finally:
            self._wait(answers.aclose())

    def _wait(self, asked: Awaitable[T]) -> T:
        async def answered() -> T:
            return await asked

        waiting = asyncio.run_coroutine_threadsafe(answered(), self._loop)
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()  # Ctrl-C, say: nobody waits for it any more
            raise
