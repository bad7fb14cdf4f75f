"""The process that evaluates custom rules, one request after the other: run as a file, with nothing of Provost in it.

It stands apart because the interpreter ends its process on some modules, and because a rule may take for ever. It is
asked in frames over standard input, four bytes of length (big-endian) and so much JSON; answers likewise. It ends when
its input does.
"""

import ctypes
import json
import os
import resource
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from regopy import Interpreter, RegoError  # type: ignore[import-untyped]
from regopy.rego_shared import LogLevel  # type: ignore[import-untyped]
from regopy.rego_shared import rego as library

MEMORY_BYTES = 1024**3
LOOK_SECONDS = 0.05
KEPT = 16

library.regoFreeOutput.argtypes = [ctypes.c_void_p]


class Failed(Exception):
    """The interpreter cannot do it; says why."""


class Compiled:
    """Modules, ready to be asked by entrypoint."""

    def __init__(self, modules: dict[str, str], entrypoints: list[str]) -> None:
        self._interpreter = Interpreter()
        self._interpreter.log_level = LogLevel.NONE
        self._interpreter.strict_built_in_errors = True  # what cannot be computed must not look like "no"
        try:
            for name, text in modules.items():
                self._interpreter.add_module(name, text)
            self._bundle = self._interpreter.build(None, entrypoints)
        except RegoError as error:
            raise Failed(str(error)) from None
        if not self._bundle.ok():
            raise Failed("the modules do not compile")

    def tell(self, value: Any) -> None:
        """Set the input."""
        if not isinstance(value, dict):
            raise Failed("the input is no object")
        made = library.regoNewInput()
        try:
            _add(made, value)
            if library.regoSetInput(self._interpreter._impl, made) != 0:
                raise Failed("the input is refused")
        finally:
            library.regoFreeInput(made)

    def ask(self, entrypoint: str) -> Any:
        """The value; None when it is undefined."""
        output = library.regoBundleQueryEntrypoint(
            self._interpreter._impl, self._bundle._impl, entrypoint.encode()
        )
        if not output:
            raise Failed("it cannot be asked")
        try:
            size = library.regoOutputJSONSize(output)
            buffer = ctypes.create_string_buffer(size)
            library.regoOutputJSON(output, buffer, size)
            said = buffer.value.decode("utf-8", "replace")
            if not library.regoOutputOk(output):
                raise Failed("a function of it cannot be computed, or it takes too many steps")
        finally:
            library.regoFreeOutput(output)
        if said == "undefined":
            return None
        try:
            expressions = json.loads(said)["expressions"]
        except ValueError:
            raise Failed(said) from None
        return expressions[0] if expressions else None

    def knows(self, function: str) -> bool:
        return bool(self._interpreter.is_builtin(function))


def _add(made: int, value: Any) -> None:
    kind = type(value)
    if kind is str:
        library.regoInputString(made, value.encode("utf-8", "replace"))
    elif kind is dict:
        for key, each in value.items():
            library.regoInputString(made, key.encode("utf-8", "replace"))
            _add(made, each)
            library.regoInputObjectItem(made)
        library.regoInputObject(made, len(value))
    elif kind is list:
        for each in value:
            _add(made, each)
        library.regoInputArray(made, len(value))
    elif kind is bool:
        library.regoInputBoolean(made, value)
    elif kind is int:
        library.regoInputInt(made, value)
    elif kind is float:
        library.regoInputFloat(made, value)
    else:
        library.regoInputNull(made)


class Worker:
    """Sets by key, the last ones that were used."""

    def __init__(self) -> None:
        self._kept: dict[str, Compiled] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What there is to say to one request; `failed` when it cannot be done, `unknown` for a key not kept."""
        try:
            if asked["do"] == "load":
                return self._load(asked)
            return self._judge(asked["key"], asked["asks"])
        except Failed as failure:
            return {"failed": str(failure)[:2000]}

    def _load(self, asked: dict[str, Any]) -> dict[str, Any]:
        compiled = Compiled(asked["modules"], asked["entrypoints"])
        self._kept[asked["key"]] = compiled
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return {"missing": [name for name in asked["functions"] if not compiled.knows(name)]}

    def _judge(self, key: str, asks: list[tuple[dict[str, Any], list[str]]]) -> dict[str, Any]:
        compiled = self._kept.pop(key, None)
        if compiled is None:
            return {"unknown": True}
        self._kept[key] = compiled  # it was used last
        answers: list[list[Any]] = []
        for value, entrypoints in asks:
            compiled.tell(value)
            said: list[Any] = []
            for entrypoint in entrypoints:
                try:
                    said.append([True, compiled.ask(entrypoint)])
                except Failed as failure:
                    said.append([False, str(failure)[:500]])
            answers.append(said)
        return {"answers": answers}


def watch(parent: int) -> None:
    """End the process when it has grown too large, or whoever asks it has gone in the middle of a long question.

    A limit of the system's does not do: the interpreter reserves hundreds of gigabytes of addresses and uses next to
    none. Where there is no /proc, the deadline alone holds.
    """
    statm = Path("/proc/self/statm")
    while os.getppid() == parent:
        if (
            statm.exists()
            and int(statm.read_text("ascii").split()[1]) * resource.getpagesize() > MEMORY_BYTES
        ):
            os._exit(3)
        time.sleep(LOOK_SECONDS)
    os._exit(4)


def main() -> None:
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    worker, wanted, given = Worker(), sys.stdin.buffer, sys.stdout.buffer
    while len(head := wanted.read(4)) == 4:
        asked = json.loads(wanted.read(struct.unpack(">I", head)[0]))
        body = json.dumps(worker.answer(asked)).encode()
        given.write(struct.pack(">I", len(body)) + body)
        given.flush()


if __name__ == "__main__":
    main()
