"""Real servers as child processes: on a free loopback port, in a directory of their own, ended by their own id."""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

READY_SECONDS = 40.0
_PORTS = range(10_240, 32_768)


def _ports() -> Iterator[int]:
    """This process's share of the ports, begun at a place of its own: another run may be going on beside this one."""
    worker, workers = (
        int(os.environ.get(f"PYTEST_XDIST_WORKER{name}", default).removeprefix("gw"))
        for name, default in (("", "0"), ("_COUNT", "1"))
    )
    share = _PORTS[worker::workers]
    begin = os.getpid() * 37 % len(share)
    return cycle((*share[begin:], *share[:begin]))


_MINE = _ports()


def free_port() -> int:
    """A port that the system says nobody listens on, and that stays free until a server of ours listens there.

    The system's own choice could be anyone's before it is used, or while the server there is down: it gives such ports
    to outgoing connections too. Ours lie below those, no two workers share any, and none is given twice until all were.
    """
    for port in islice(_MINE, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody listens there
        return port
    raise RuntimeError("no port is free")


class ServerProcess:
    """One server; `command` may be started again and again on the same port and data, in the name of `account`."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        ready: Callable[[], bool],
        account: pwd.struct_passwd | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._environment = environment
        self._account = account
        self._command = list(command)
        self._log = log
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env=self._environment,
                user=self._account and self._account.pw_uid,
                group=self._account and self._account.pw_gid,
                extra_groups=[] if self._account else None,
            )
        until = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self._child.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self._command[0]} did not come up:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its port and connections, and does nothing; returns once it stands still."""
        child = self._running()
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._running().pid

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, "not started"
        return self._child

    def _end(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGCONT)
            self._child.send_signal(number)
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None


def answers(port: int, sends: bytes, expects: bytes, at: int | None = None) -> bool:
    """Whether a server greets, or answers `sends`, with what has `expects` in it, or begins with it (`at` 0)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(sends)
            answer = link.recv(4096)
            return expects in answer if at is None else answer.startswith(expects, at)
    except OSError:
        return False
