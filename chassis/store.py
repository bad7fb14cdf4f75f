"""The Redis-protocol store: a client that neither hangs nor gives up at the first hiccup."""

from collections.abc import Mapping
from typing import Any, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TookTooLong

from chassis.tls.certificates import Certificates
from chassis.tls.contexts import client_context

CLUSTERS = {"redis+cluster://": "redis://", "rediss+cluster://": "rediss://"}
"""Schemes of a cluster, whose other nodes the one in the URL knows, and what its client calls them."""


class _Encrypted(redis.asyncio.SSLConnection):
    """Shows the certificate that is good at the moment it connects."""

    def __init__(self, *, certificates: Certificates, **options: Any) -> None:
        super().__init__(**options)
        self._certificates = certificates

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": client_context(self._certificates)}


def connect(
    url: str,
    *,
    timeout_seconds: float = 2.0,
    max_connections: int = 32,
    certificates: Certificates | None = None,
) -> redis.asyncio.Redis:
    """A client of the store at `url` (`redis://[:password@]host:port/db`); connects when first used.

    With `redis+cluster://[:password@]host:port` it is a cluster, and keys of one command must share a slot. Answers are
    text. With `rediss` it is encrypted, and shown `certificates`, if there are any. A command that gets no answer is
    sent again up to 4 times, so send only what may be done twice (every change of ours is guarded by a sequence).
    Close it with `aclose`.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",  # what is no text is text that is wrong, and found to be so where it is read
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
            if certificates is not None and plain == "rediss://":
                more = {"connection_class": _Encrypted, "certificates": certificates}
                cluster.connection_kwargs.update(more)  # of nodes that are found later
                for node in cluster.nodes_manager.startup_nodes.values():
                    node.connection_class = _Encrypted
                    node.connection_kwargs["certificates"] = certificates
            return cast("redis.asyncio.Redis", cluster)  # the same commands, which is all that is asked of it
    client = redis.asyncio.Redis.from_url(url, retry_on_error=[Disconnected, TookTooLong], **options)
    if certificates is not None and url.startswith("rediss://"):
        client.connection_pool.connection_class = _Encrypted
        client.connection_pool.connection_kwargs["certificates"] = certificates
    return client


def is_cluster(client: redis.asyncio.Redis) -> bool:
    return isinstance(client, redis.asyncio.RedisCluster)
