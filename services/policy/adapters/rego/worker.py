"""The process that evaluates custom rules, one request after the other: run as a module, with nothing of
Provost in it but `functions`.

It stands apart because a rule may take for ever, or all memory, and the interpreter lets nothing else go on meanwhile.
It is asked in frames over standard input, four bytes of length (big-endian) and so much JSON; answers likewise. It ends
when its input does, and with a question that takes longer than whoever asked would wait.
"""

import json
import os
import re
import resource
import signal
import struct
import sys
import tempfile
from typing import Any, BinaryIO

from regorus import Engine  # type: ignore[import-untyped]

from services.policy.adapters.rego.functions import EXTENSIONS

MEMORY_BYTES = 1024**3
MODULE_BYTES = 16 * 1024**2
KEPT = 16
PATIENCE = 1.0
"""How many seconds longer than it is waited for a question may take."""

_ERROR = re.compile(r"\s*--> (?P<file>[^\n:]*):(?P<line>\d+):(?P<column>\d+)\n(?:.*\n)*?error: (?P<text>.*)")
_RAISED = re.compile(r"extension '(?P<name>[\w.]+)' raises Python error: \w+: ")
_UNORDERED = b"could not schedule"
"""What the interpreter warns of when a rule waits for a value that nothing gives: it would never fire."""


class Failed(Exception):
    """The interpreter cannot do it; says why, and where: file, line and column."""

    def __init__(self, said: object) -> None:
        found = _ERROR.match(str(said))
        text = found["text"].strip() if found else str(said).split("Stack backtrace", 1)[0].strip()
        super().__init__(_RAISED.sub(r"\g<name>: ", text) or "it cannot be evaluated")
        self.place = (found["file"], int(found["line"]), int(found["column"])) if found else ("", 0, 0)

    def told(self) -> dict[str, Any]:
        return {"failed": str(self)[:500], "place": self.place}


class Compiled:
    """Modules by name, and the rules of theirs that may be asked, by path from `data`."""

    def __init__(self, modules: dict[str, str], rules: list[str], warnings: BinaryIO) -> None:
        self._engine, self._rules = Engine(), rules
        self._engine.set_policy_length_config(
            max_col=MODULE_BYTES, max_file_bytes=MODULE_BYTES, max_lines=MODULE_BYTES
        )
        for name, count, function in EXTENSIONS:
            self._engine.add_extension(name, count, function)
        warnings.seek(0)
        warnings.truncate()
        try:
            for name, text in modules.items():
                self._engine.add_policy(name, text)
            self._engine.add_policy("loaded.rego", "package provost.loaded\n\nyes := true\n")
            self._engine.eval_rule("data.provost.loaded.yes")
        except RuntimeError as error:
            raise Failed(error) from None
        warnings.seek(0)
        if _UNORDERED in warnings.read():
            raise Failed("a value is looked for that nothing gives: is a name misspelt?")

    def answers(self, value: Any, rules: list[int]) -> list[tuple[bool, Any]]:
        """What each of these rules says to this input: whether it could be asked, and its value or why not.

        A rule without a value says "<undefined>".
        """
        try:
            self._engine.set_input(value)
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            return [(False, Failed(error).told())] * len(rules)
        return [self._answer(self._rules[n]) for n in rules]

    def _answer(self, rule: str) -> tuple[bool, Any]:
        try:
            return True, json.loads(self._engine.eval_rule_as_json(rule))
        except RuntimeError as error:
            return False, Failed(error).told()


class Worker:
    """Sets by key, the last ones that were used."""

    def __init__(self) -> None:
        self._kept: dict[str, Compiled] = {}
        self._warnings = _in_memory()
        os.dup2(self._warnings.fileno(), sys.stderr.fileno())

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What there is to say to one request; `failed` when it cannot be done, `unknown` for a key not kept."""
        try:
            if asked["do"] == "load":
                return self._load(asked)
            return self._judge(asked["key"], asked["asks"])
        except Failed as failure:
            return failure.told()

    def _load(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._kept[asked["key"]] = Compiled(asked["modules"], asked["rules"], self._warnings)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return {}

    def _judge(self, key: str, asks: list[tuple[dict[str, Any], list[int]]]) -> dict[str, Any]:
        compiled = self._kept.pop(key, None)
        if compiled is None:
            return {"unknown": True}
        self._kept[key] = compiled  # it was used last
        return {"answers": [compiled.answers(value, rules) for value, rules in asks]}


def _in_memory() -> BinaryIO:
    """A file for as long as the process lives; in memory where that can be had: there may be nowhere to write."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("warnings"), "w+b")
    return tempfile.TemporaryFile()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    worker, wanted, given = Worker(), sys.stdin.buffer, sys.stdout.buffer
    while len(head := wanted.read(4)) == 4:
        asked = json.loads(wanted.read(struct.unpack(">I", head)[0]))
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"] + PATIENCE)  # which ends it: nothing else could
        body = json.dumps(worker.answer(asked)).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        given.write(struct.pack(">I", len(body)) + body)
        given.flush()


if __name__ == "__main__":
    main()
