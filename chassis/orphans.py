"""No process of ours outlives the one that started it, however that one ends (Linux; elsewhere nothing is promised)."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None]:
    """For `preexec_fn`: the kernel kills the child when the thread that started it ends, kill -9 included.

    prctl(2), PR_SET_PDEATHSIG. Call it, and start the child, from the main thread.
    """
    parent = os.getpid()
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:  # not Linux
        return lambda: None

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended in between: nobody would tell us
            os._exit(1)

    return before_exec
