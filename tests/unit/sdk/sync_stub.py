"""Renders `provost_sdk/sync.pyi`: the types of the asynchronous client, as code that waits sees them.

`python -m tests.unit.sdk.sync_stub` writes it.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

from provost_sdk import client, sync
from provost_sdk.client import Provost

FILE = Path(sync.__file__).with_suffix(".pyi")
_HEAD = "# Rendered from provost_sdk.client by `python -m tests.unit.sdk.sync_stub`: not edited.\n\n"
_WAITING = {"AsyncIterator": "Iterator"}


def rendered() -> str:
    """The text of the stub."""
    imports: dict[str, None] = {
        "from typing import Any, Self": None,
        "from collections.abc import Iterator": None,
    }
    methods: list[ast.FunctionDef] = []
    for owner in (each for each in Provost.__mro__ if each.__module__.startswith("provost_sdk.")):
        tree = ast.parse(Path(inspect.getfile(owner)).read_text("utf-8"))
        imports |= dict.fromkeys(
            ast.unparse(each) for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)
        )
        inside = next(
            each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == owner.__name__
        )
        methods += [
            _waits(each)
            for each in inside.body
            if isinstance(each, ast.AsyncFunctionDef) and not each.name.startswith("_")
        ]
    begin = next(each for each in _class_of(Path(sync.__file__)).body if isinstance(each, ast.FunctionDef))
    begin.body = [ast.Expr(ast.Constant(...))]
    body = [begin, *_context(), *{each.name: each for each in methods}.values()]
    names = {node.id for each in body for node in ast.walk(each) if isinstance(node, ast.Name)}
    kept = sorted(filter(None, (_used(each, names) for each in imports)))
    made = ast.ClassDef("Client", bases=[], keywords=[], body=body, decorator_list=[])
    return _formatted(_HEAD + "\n".join(kept) + "\n\n" + ast.unparse(ast.fix_missing_locations(made)) + "\n")


def _waits(method: ast.AsyncFunctionDef) -> ast.FunctionDef:
    """The same without `async`; strings that are types are types."""
    made = ast.FunctionDef(
        method.name,
        method.args,
        [ast.Expr(ast.Constant(...))],
        decorator_list=[],
        returns=method.returns,
    )
    for node in ast.walk(made):
        if isinstance(node, ast.Name):
            node.id = _WAITING.get(node.id, node.id)
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Constant):
            node.annotation = ast.parse(str(node.annotation.value), mode="eval").body
    if isinstance(made.returns, ast.Constant) and isinstance(made.returns.value, str):
        made.returns = ast.parse(made.returns.value, mode="eval").body
    return made


def _context() -> list[ast.stmt]:
    return ast.parse("def __enter__(self) -> Self: ...\ndef __exit__(self, *_: object) -> None: ...").body


def _class_of(path: Path) -> ast.ClassDef:
    return next(each for each in ast.parse(path.read_text("utf-8")).body if isinstance(each, ast.ClassDef))


def _used(line: str, names: set[str]) -> str:
    """An import of those of `names` that the line imports; "" when there are none."""
    (found,) = ast.parse(line).body
    assert isinstance(found, ast.ImportFrom)
    wanted = [each for each in found.names if (each.asname or each.name) in names]
    return ast.unparse(ast.ImportFrom(found.module, wanted, 0)) if wanted else ""


def _formatted(text: str) -> str:
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check", "--fix", "--quiet", "--select", "I,F401,UP"], ["format"]):
        text = subprocess.run(
            [ruff, *command, "--stdin-filename", str(FILE), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
    print(f"{FILE} has the types of {client.__name__}")
