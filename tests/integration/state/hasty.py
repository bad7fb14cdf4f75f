"""State as it runs, but sooner to say that its answers may be old: who tests that need not wait for five seconds."""

import runpy

from services.state.domain import bounds

STALE_SECONDS = 2.0

if __name__ == "__main__":
    bounds.STALE_SECONDS = STALE_SECONDS
    runpy.run_module("services.state", run_name="__main__", alter_sys=True)
