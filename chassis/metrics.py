"""Prometheus metrics of this process, and the port where they are read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RPC_CALLS = Counter("provost_rpc_calls", "Calls answered, by method and status code.", ("method", "code"))
RPC_SECONDS = Histogram("provost_rpc_seconds", "How long calls took.", ("method",), buckets=_SECONDS)
TENANT_REQUESTS = Counter(
    "provost_tenant_requests",
    "Requests that the gateway let in, by the tenant of their key and by how they ended.",
    ("tenant", "outcome"),
)
FOLLOWER_POSITION = Gauge("provost_follower_position", "Stream sequence delivered up to.", ("follower",))
FOLLOWER_LAG_EVENTS = Gauge("provost_follower_lag_events", "Events it has still to read.", ("follower",))
FOLLOWER_LAG_SECONDS = Gauge(
    "provost_follower_lag_seconds", "Time since it last was at the end of the log.", ("follower",)
)
LOG_BYTES = Gauge("provost_log_bytes", "How large the event log was when it was last asked.")
LOG_MAX_BYTES = Gauge(
    "provost_log_max_bytes",
    "How large it may become (PROVOST_LOG_MAX_BYTES); 0: as large as NATS has room for.",
)
NO_EVENTS = Counter(
    "provost_messages_passed_over", "Messages read from the log that are no events, or copies of events."
)


class Follows(Protocol):
    """What can be said of a follower at any moment."""

    @property
    def position(self) -> int: ...

    @property
    def lag(self) -> int: ...

    @property
    def stale_seconds(self) -> float: ...


def follow(name: str, follower: Follows) -> None:
    """Show where a follower stands, whenever somebody looks."""
    FOLLOWER_POSITION.labels(name).set_function(lambda: follower.position)
    FOLLOWER_LAG_EVENTS.labels(name).set_function(lambda: follower.lag)
    FOLLOWER_LAG_SECONDS.labels(name).set_function(lambda: follower.stale_seconds)


def forget(name: str) -> None:
    """It has ended: nobody is to take it for one that is behind."""
    for gauge in (FOLLOWER_POSITION, FOLLOWER_LAG_EVENTS, FOLLOWER_LAG_SECONDS):
        gauge.remove(name)


_shown: dict[str, Gauge] = {}


def show(name: str, text: str, value: Callable[[], float], **labels: str) -> None:
    """Show a number of the service's own, whenever somebody looks; shown again, the newer one counts.

    `value` is called in another thread.
    """
    gauge = _shown.get(name)
    if gauge is None:
        gauge = _shown[name] = Gauge(name, text, tuple(labels))
    (gauge.labels(**labels) if labels else gauge).set_function(value)


def positions() -> dict[str, int]:
    """The stream sequence up to which each follower of this process has delivered."""
    return {
        sample.labels["follower"]: int(sample.value)
        for family in FOLLOWER_POSITION.collect()
        for sample in family.samples
    }


class Calls:
    """The metrics of one method, looked up once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._seconds = RPC_SECONDS.labels(method)
        self._codes: dict[str, Counter] = {}

    def done(self, code: str, seconds: float) -> None:
        """Count one answered call."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = RPC_CALLS.labels(self._method, code)
        counter.inc()
        self._seconds.observe(seconds)


def serve(port: int, host: str = "127.0.0.1") -> "tuple[WSGIServer, Thread] | None":
    """Offer the metrics at `http://host:port/metrics`, in a thread; port 0 offers nothing.

    Raises:
        OSError: the port is taken; the text names it and the setting.
    """
    if not port:
        return None
    try:
        return start_http_server(port, addr=host)
    except OSError as error:
        raise OSError(
            error.errno,
            f"port {port} for metrics cannot be listened on (PROVOST_METRICS_PORT=0 turns them off)",
        ) from error
