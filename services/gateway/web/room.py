"""How many connections HTTP may hold at once: as many as the documented streams need, or the descriptors allow.

A connection that is not taken waits in the kernel, and with it everybody behind it: so the number is far above what
those who are let in may use, and connections that say nothing are ended soon (`HEAD_SECONDS`).
"""

import resource

from chassis import telemetry

CONNECTIONS = 12_000
"""The 10,000 streams that may be open, and requests besides."""
DESCRIPTORS = 16_384
"""Those connections, and a quarter for gRPC and for everything behind the door."""
SOCKETS = 1_000
"""How many of the connections may be WebSockets: each holds a second descriptor, and what its client may send."""
HEAD_SECONDS = 10.0
"""How long a connection may take for a request's head, or say nothing between two requests."""
HEAD_BYTES = 64 * 1024
_log = telemetry.get_logger("gateway.web")


def connections() -> int:
    """How many there may be here; the soft limit on descriptors is raised for it as far as the hard one lets it."""
    soft, hard = (
        DESCRIPTORS if each == resource.RLIM_INFINITY else each
        for each in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft < min(hard, DESCRIPTORS):
        soft = min(hard, DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if soft < DESCRIPTORS:
        _log.warning("few file descriptors", limit=soft, wanted=DESCRIPTORS, connections=_of(soft))
    return _of(soft)


def sockets() -> int:
    """How many WebSockets there may be here: an eighth of the descriptors, half of what connections leave."""
    return min(SOCKETS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)


def _of(descriptors: int) -> int:
    return min(CONNECTIONS, descriptors * 3 // 4)
