"""What callers of Provost install: a client for its gRPC front, typed by the protos, and the `provost` command line.

    async with Provost("127.0.0.1:7000", key) as provost:
        run = await provost.process_log(log)

Stands alone: it knows the contracts and nothing of the services. Everything heavy is imported when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provost_sdk.client import Provost
    from provost_sdk.errors import ProvostError
    from provost_sdk.stale import staleness

__all__ = ["Provost", "ProvostError", "staleness"]


def __getattr__(name: str) -> Any:
    if name == "Provost":
        from provost_sdk.client import Provost

        return Provost
    if name == "ProvostError":
        from provost_sdk.errors import ProvostError

        return ProvostError
    if name == "staleness":
        from provost_sdk.stale import staleness

        return staleness
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
