"""The process that evaluates custom rules, one request after the other: run as a file, with nothing of Provost in it.

It stands apart because a rule may take for ever, or all memory. It is asked in frames over standard input, four bytes
of length (big-endian) and so much JSON; answers likewise. It ends when its input does, and with a question that takes
longer than whoever asked would wait. Once it has begun it can open nothing any more, neither a file nor a connection:
OPA has functions that would.
"""

import contextlib
import json
import re
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from opa_bindings import OpaEngine, OpaError, OpaUndefinedError  # type: ignore[import-untyped]

MEMORY_BYTES = 1024**3
FIRST_TO_GO = Path("/proc/self/oom_score_adj")
KEPT = 16
PATIENCE = 1.0
"""How many seconds longer than it is waited for a question may take."""

_FLAW = re.compile(
    r"(?P<file>\w[\w-]*\.rego):(?P<line>\d+): (?:\w+_error: )?(?P<text>[^\n]*)(?:\n\t[^\n]*\n\t(?P<before> *)\^)?"
)


class Failed(Exception):
    """OPA cannot do it; says why, and where: file, line, column (0: it does not say) and text of each mistake."""

    def __init__(self, said: str) -> None:
        self.flaws = [
            (found["file"], int(found["line"]), _column(found), found["text"])
            for found in _FLAW.finditer(said)
        ]
        super().__init__(self.flaws[0][3] if self.flaws else said)

    def told(self) -> dict[str, Any]:
        return {"failed": str(self)[:500], "flaws": self.flaws}


def _column(found: re.Match[str]) -> int:
    """A mistake in how it is written is shown with its line; other ones with the expression alone, if at all."""
    return len(found["before"]) + 1 if found["before"] is not None and "parse_error" in found.group() else 0


class Compiled:
    """Modules by name, ready to be asked for what stands at `path`, or for a list of that, which is at `together`."""

    def __init__(self, modules: dict[str, str], path: str, together: str = "") -> None:
        self._engine, self._path, self._together = OpaEngine(), path, together
        mistakes: list[str] = []
        for name, text in modules.items():
            try:
                self._engine.add_policy(name, text)
            except (OpaError, ValueError) as error:
                mistakes.append(str(error))
        try:
            if not mistakes:
                self._engine.eval_document(path, {})  # which compiles it; what it says does not matter
        except OpaError as error:
            if error.code not in {"undefined", "eval_error"}:
                mistakes.append(str(error))
        if mistakes:
            self.close()
            raise Failed("\n".join(mistakes))

    def close(self) -> None:
        """Give back what it holds, which Python does not see."""
        self._engine.close()

    def answers(self, values: list[Any]) -> list[tuple[bool, Any]]:
        """For each input whether it could be computed, and what it says to it (None: it is undefined), or why not."""
        if self._together and len(values) > 1:
            # In one go it takes half as long; where one fails, all do, and are asked one by one.
            with contextlib.suppress(OpaError):
                said = self._engine.eval_document(self._together, {"inputs": values})
                if len(said) == len(values):  # what is undefined is missing
                    return [(True, each) for each in said]
        return [self._answer(value) for value in values]

    def _answer(self, value: Any) -> tuple[bool, Any]:
        try:
            return True, self._engine.eval_document(self._path, value)
        except OpaUndefinedError:
            return True, None
        except OpaError as error:
            return False, Failed(str(error)).told()


class Worker:
    """Sets by key, the last ones that were used."""

    def __init__(self) -> None:
        self._kept: dict[str, Compiled] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What there is to say to one request; `failed` when it cannot be done, `unknown` for a key not kept."""
        try:
            if asked["do"] == "load":
                return self._load(asked)
            return self._judge(asked["key"], asked["inputs"])
        except Failed as failure:
            return failure.told()

    def _load(self, asked: dict[str, Any]) -> dict[str, Any]:
        began = time.process_time()
        compiled = Compiled(asked["modules"], asked["path"], asked.get("together", ""))
        if replaced := self._kept.pop(asked["key"], None):
            replaced.close()
        self._kept[asked["key"]] = compiled
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        return {"cpu_seconds": time.process_time() - began}

    def _judge(self, key: str, inputs: list[Any]) -> dict[str, Any]:
        compiled = self._kept.pop(key, None)
        if compiled is None:
            return {"unknown": True}
        self._kept[key] = compiled  # it was used last
        began = time.process_time()
        answers = compiled.answers(inputs)
        return {"answers": answers, "cpu_seconds": time.process_time() - began}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    if FIRST_TO_GO.exists():  # where memory is short before that, rather this than policy
        FIRST_TO_GO.write_text("1000")
    worker, wanted, given = Worker(), sys.stdin.buffer, sys.stdout.buffer
    Compiled({}, "")
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    while len(head := wanted.read(4)) == 4:
        asked = json.loads(wanted.read(struct.unpack(">I", head)[0]))
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"] + PATIENCE)  # which ends it: nothing else could
        body = json.dumps(worker.answer(asked)).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        given.write(struct.pack(">I", len(body)) + body)
        given.flush()


if __name__ == "__main__":
    main()
