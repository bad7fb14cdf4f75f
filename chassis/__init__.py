"""What every process stands on: settings, telemetry, the event log, RPC. Knows no service."""

import sys


def _import_structlog() -> None:
    """Import it without rich, which it would load for a renderer that nobody here uses.

    With what rich brings along that is an eighth of a service's start, and 3 MB, in each of eight processes.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # what importlib documents for "not to be found"
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


_import_structlog()
