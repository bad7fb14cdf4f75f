"""The address a gRPC call comes from."""

import re

from chassis.rpc.cause import Context

_PEER = re.compile(r"ipv[46]:(?P<host>.+):\d+")


def host_of(context: Context) -> str:
    """Its host alone, without brackets; what is no address, as it is."""
    found = _PEER.fullmatch(context.peer())
    host = found["host"] if found else context.peer()
    return host.removeprefix("%5B").removesuffix("%5D") if host.startswith("%5B") else host
