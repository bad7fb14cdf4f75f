"""A replica that does not know what happened last answers nobody: a revocation may be among it."""

from kernel.ports import Following
from services.policy.domain.faults import DeciderStale

MAX_STALE_SECONDS = 1.0


def require_fresh(following: Following) -> None:
    """Raises DeciderStale: another replica may know more."""
    if following.stale_seconds > MAX_STALE_SECONDS:
        raise DeciderStale(following.stale_seconds)
