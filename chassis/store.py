"""The Redis-protocol store: a client that neither hangs nor gives up at the first hiccup."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TookTooLong


def connect(url: str, *, timeout_seconds: float = 2.0, max_connections: int = 32) -> redis.asyncio.Redis:
    """A client of the store at `url` (`redis://[:password@]host:port/db`); connects when first used.

    Answers are text. A command that gets no answer is sent again up to 4 times, so send only what may be done twice
    (every change of ours is guarded by a sequence). Close it with `aclose`.
    """
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=15,
        max_connections=max_connections,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=4),
        retry_on_error=[Disconnected, TookTooLong],
    )
