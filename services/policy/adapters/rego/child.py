"""The child process that evaluates rules, as its parent sees it: asked one thing at a time, and never for long."""

import json
import os
import select
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from chassis import process
from services.policy.ports.sets import GivenUp

_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 10.0
_LOOK_MS = 100


class ChildGone(Exception):
    """The child has died, or was late and has been ended; says which."""


def why(answer: dict[str, Any]) -> str:
    """Why it has said nothing, in its own words."""
    for file, line, _, text in answer.get("flaws", ()):
        return f"{file}:{line}: {text}"
    return str(answer.get("failed", "there is no answer"))


class Child:
    """Started when it is first asked, and again after it has gone. What is `given_up` it is not asked to the end."""

    def __init__(self, given_up: GivenUp = lambda: False) -> None:
        self._given_up = given_up
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer, waited for so long.

        Raises:
            ChildGone: it could not be begun, died of the question, or did not answer in time.
        """
        if self._process is not None and self._process.poll() is not None:
            self.end()  # it died of something else meanwhile
        fresh = self._process is None
        body = json.dumps(asked | {"seconds": seconds}).encode()
        try:
            child = self._process or self._start()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(struct.pack(">I", len(body)) + body)
            child.stdin.flush()
            until = process.monotonic() + seconds + (_START_SECONDS if fresh else 0.0)
            descriptor = child.stdout.fileno()
            size = struct.unpack(">I", self._read(descriptor, 4, until))[0]
            answer = json.loads(self._read(descriptor, size, until))
        except (OSError, ChildGone) as gone:
            self.end()
            raise ChildGone(str(gone) or "it has died") from None
        assert isinstance(answer, dict)
        return answer

    def end(self) -> None:
        """End it, if it lives."""
        child, self._process = self._process, None
        if child is None:
            return
        child.kill()
        child.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        # Nothing of our environment: there are secrets in it, and the rules of others are evaluated here.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )
        return self._process

    def _read(self, descriptor: int, size: int, until: float) -> bytes:
        parts: list[bytes] = []
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while size:
            left = until - process.monotonic()
            if left <= 0:
                raise ChildGone("it took too long")
            if self._given_up():
                raise ChildGone("nobody waits for it any more")
            if not poll.poll(min(left * 1000, _LOOK_MS)):
                continue
            part = os.read(descriptor, size)
            if not part:
                raise ChildGone("the interpreter has ended itself")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
