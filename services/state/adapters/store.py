"""The Redis-protocol store behind the `Store` port: Valkey, Redis or DragonflyDB, unchanged."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import wraps
from itertools import groupby
from typing import Any, ParamSpec, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from chassis.process import new_id
from chassis.store import is_cluster
from chassis.telemetry import get_logger
from services.state.adapters.scripts import APPLY, arguments, guard_of
from services.state.adapters.shards import shard_marks
from services.state.adapters.signs import sound
from services.state.adapters.spoiled import is_spoiled, misfits
from services.state.adapters.wholeness import (
    ADVANCE,
    BEGIN_FILL,
    CLAIM_WIPE,
    END_WIPE,
    FILLINGS,
    FINISH_FILL,
    FORMAT,
    FORMATTED,
    GENERATION,
    POSITION,
    WIPING,
    position_of,
)
from services.state.domain.documents import Content, Document, Listing, key_of, tag_of
from services.state.domain.faults import StoreSpoiled, StoreUnreachable
from services.state.domain.tables import TABLES
from services.state.domain.view import Place
from services.state.ports import Reading

P = ParamSpec("P")
T = TypeVar("T")

DERIVED = (
    "agent:{*",
    "task:{*",
    "handoff:{*",
    "revocations:{*",
    "blackboard:{*",
    "msg:{*",
    "checkpoint:{*",
)
GUARDS = "applied:{*"
_DOCUMENTS_AT_ONCE = 500
_KEYS_AT_ONCE = 1000
WIPE_MILLISECONDS = 10_000
"""So long nobody else wipes or fills when one who wipes says nothing more: it may have been killed."""
_MOST_TOLD = 300
"""Characters."""
_WIPE_FIRST = _NEED_NOT = 2
"""What scripts answer."""
_GONE = "none"
"""What the store calls the type of a key that is not there."""
_log = get_logger("state.store")


def _reaching(method: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(method)
    async def reaching(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (RedisError, RedisClusterException, OSError, TimeoutError) as problem:
            _log.debug("store does not answer", why=str(problem))
            if is_spoiled(problem):
                raise StoreSpoiled(str(problem)[:_MOST_TOLD]) from problem
            raise StoreUnreachable from problem

    return reaching


class RedisStore:
    """Implements `services.state.ports.Store`."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._shards = shard_marks() if is_cluster(client) else ()
        self._written: dict[Place, int] = {}
        """Up to where this process has written each table: its changes are good for one that is at least as far."""
        self._generation = ""
        """Of the store whose position was last asked for, or that was last filled."""

    @_reaching
    async def read(self, places: Sequence[Place]) -> Reading:
        keys = [key_of(place) for place in places]
        if not self._shards:
            # redis-py's types do not know that the client decodes answers.
            found: list[Any] = await self._client.mget(*keys, POSITION)
            return _reading(places, found[:-1], found[-1])
        async with self._pipeline() as pipe:
            for key in keys:
                pipe.get(key)
            for guard in {guard_of(place) for place in places}:
                pipe.exists(guard)
            pipe.get(POSITION)
            *answers, position = await pipe.execute()
        if not all(answers[len(places) :]) and not await self._shards_are_whole():
            position = None
        return _reading(places, answers[: len(places)], position)

    @_reaching
    async def write(self, documents: Sequence[Document], at: datetime) -> Sequence[Place]:
        ordered = sorted(documents, key=lambda document: tag_of(document.place))
        missing: list[Place] = []
        for start in range(0, len(ordered), _DOCUMENTS_AT_ONCE):
            some = ordered[start : start + _DOCUMENTS_AT_ONCE]
            calls = [list(same) for _, same in groupby(some, key=lambda document: tag_of(document.place))]
            answers = await self._run(APPLY, [arguments(same, at, self._written) for same in calls])
            missing += [
                same[number - 1].place
                for same, numbers in zip(calls, answers, strict=True)
                for number in numbers
            ]
        self._written |= {each.place: each.sequence for each in ordered if each.place.part in TABLES}
        return missing

    @_reaching
    async def position(self) -> int | None:
        told, formatted, generation = await self._client.mget(POSITION, FORMAT, GENERATION)
        position = position_of(told)
        if position is None or formatted != FORMATTED or not await self._shards_are_whole():
            return None
        self._generation = str(generation or "")
        return position

    @_reaching
    async def advance(self, known: int, to: int) -> bool:
        if await self._call(ADVANCE, [POSITION, GENERATION], [known, self._generation, to]):
            return True
        position_of(await self._client.get(POSITION))  # says so when it is no position
        return False

    @_reaching
    async def begin_fill(self, mark: str) -> None:
        begin = [FILLINGS, WIPING, FORMAT], [mark, FORMATTED]
        begun = await self._call(BEGIN_FILL, *begin)
        if begun == _WIPE_FIRST:
            await self._wipe(mark, unless=FORMATTED)
            begun = await self._call(BEGIN_FILL, *begin)
        if begun != 1:
            raise StoreUnreachable  # another wipes it: ask again
        async with self._pipeline() as pipe:
            for key in self._shards:
                pipe.set(key, mark)
            await pipe.execute()

    @_reaching
    async def finish_fill(self, mark: str, to: int) -> bool:
        generation = await self._call(FINISH_FILL, [FILLINGS, POSITION, GENERATION], [mark, to])
        if generation is None:
            return False
        self._generation = generation
        return True

    @_reaching
    async def wipe(self) -> None:
        await self._wipe(new_id())

    async def _wipe(self, who: str, *, unless: str = "") -> None:
        claim = [WIPING, POSITION, FILLINGS, FORMAT], [who, WIPE_MILLISECONDS, unless]
        claimed = await self._call(CLAIM_WIPE, *claim)
        if claimed == _NEED_NOT:
            return
        for pattern in (*DERIVED, GUARDS):
            async for keys in self._keys(pattern):
                # Guards go last, so that none is left of what is gone.
                if await self._call(CLAIM_WIPE, claim[0], [who, WIPE_MILLISECONDS, ""]) != 1:
                    raise StoreUnreachable  # another wipes it
                if gone := [key for key in keys if key != WIPING]:
                    await self._client.delete(*gone)
        if not await self._call(END_WIPE, [WIPING, FORMAT], [who, FORMATTED]):
            raise StoreUnreachable

    @_reaching
    async def dump(self) -> Mapping[str, Content]:
        found: dict[str, Content] = {}
        for pattern in DERIVED:
            async for keys in self._keys(pattern):
                found |= await self._contents(keys)
        return found

    async def _call(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        (answer,) = await self._run(script, [(keys, arguments)])
        return answer

    async def _run(self, script: str, calls: Sequence[tuple[list[str], list[Any]]]) -> list[Any]:
        """One answer per call, in one round trip; the script is loaded where it is not known."""
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        for attempt in range(2):
            async with self._pipeline() as pipe:
                for keys, arguments in calls:
                    # Sent as it is: so it may be where the store is a cluster, too.
                    pipe.execute_command("EVALSHA", sha, len(keys), *keys, *arguments)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
            problems = [answer for answer in answers if isinstance(answer, Exception)]
            if not problems:
                return answers
            if attempt or not all(isinstance(problem, NoScriptError) for problem in problems):
                if spoiled := next(filter(is_spoiled, problems), None):
                    wrong = await misfits(self._pipeline, [key for keys, _ in calls for key in keys])
                    raise StoreSpoiled(", ".join(wrong) or str(spoiled)[:_MOST_TOLD]) from spoiled
                raise problems[0]
            await self._client.script_load(script)
        raise AssertionError("the second attempt answers or raises")

    @asynccontextmanager
    async def _pipeline(self) -> AsyncIterator[Any]:
        # redis-py's types speak of the sync and the async client at once.
        async with self._client.pipeline(transaction=False) as pipe:
            yield pipe

    async def _shards_are_whole(self) -> bool:
        """Whether no node of a cluster has come back empty: the position lies on one of them alone."""
        async with self._pipeline() as pipe:
            for key in self._shards:
                pipe.exists(key)
            return all(await pipe.execute()) if self._shards else True

    async def _keys(self, pattern: str) -> AsyncIterator[list[str]]:
        keys: list[str] = []
        async for key in self._client.scan_iter(match=pattern, count=_KEYS_AT_ONCE):
            keys.append(key)  # text, because the client decodes answers; its types do not know
            if len(keys) == _KEYS_AT_ONCE:
                yield keys
                keys = []
        if keys:
            yield keys

    async def _contents(self, keys: Sequence[str]) -> dict[str, Content]:
        async with self._pipeline() as pipe:
            for key in keys:
                pipe.type(key)
            kinds = await pipe.execute()
        async with self._pipeline() as pipe:
            for key, kind in zip(keys, kinds, strict=True):
                _ask(pipe, key, kind)
            answers = iter(await pipe.execute())
        found: dict[str, Content] = {}
        for key, kind in zip(keys, kinds, strict=True):
            if kind in _READERS:
                found[key] = _READERS[kind](next(answers))
            elif kind != _GONE:
                found[key] = f"a {kind}"  # state puts none there: that it is there is enough
        return found


def _reading(places: Sequence[Place], texts: Sequence[str | None], position: str | None) -> Reading:
    return Reading([sound(*each) for each in zip(places, texts, strict=True)], position_of(position))


_READERS: dict[str, Callable[[Any], Content]] = {
    "string": lambda answer: answer,
    "hash": dict,
    "set": frozenset,
    "list": lambda answer: Listing(0, tuple(answer)),
}


def _ask(pipe: Any, key: str, kind: str) -> None:
    match kind:
        case "string":
            pipe.get(key)
        case "hash":
            pipe.hgetall(key)
        case "set":
            pipe.smembers(key)
        case "list":
            pipe.lrange(key, 0, -1)
        case _:
            pass  # gone since it was listed, or of a type that is not read
