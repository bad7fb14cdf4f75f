"""The Redis-protocol store: a client that neither hangs nor gives up at the first hiccup."""

from typing import Any, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TookTooLong

CLUSTERS = {"redis+cluster://": "redis://", "rediss+cluster://": "rediss://"}
"""Schemes of a cluster, whose other nodes the one in the URL knows, and what its client calls them."""


def connect(url: str, *, timeout_seconds: float = 2.0, max_connections: int = 32) -> redis.asyncio.Redis:
    """A client of the store at `url` (`redis://[:password@]host:port/db`); connects when first used.

    With `redis+cluster://[:password@]host:port` it is a cluster, and keys of one command must share a slot. Answers are
    text. A command that gets no answer is sent again up to 4 times, so send only what may be done twice (every change
    of ours is guarded by a sequence). Close it with `aclose`.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "max_connections": max_connections,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=4),
    }
    for scheme, plain in CLUSTERS.items():
        if url.startswith(scheme):
            cluster = redis.asyncio.RedisCluster.from_url(plain + url.removeprefix(scheme), **options)
            return cast("redis.asyncio.Redis", cluster)  # the same commands, which is all that is asked of it
    return redis.asyncio.Redis.from_url(url, retry_on_error=[Disconnected, TookTooLong], **options)


def is_cluster(client: redis.asyncio.Redis) -> bool:
    return isinstance(client, redis.asyncio.RedisCluster)
