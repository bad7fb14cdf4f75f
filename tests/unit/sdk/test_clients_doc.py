"""The Python examples of docs/clients.md, run as they stand there: they say what is written below them."""

import ast
import os
import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE

import pytest

from provost_sdk.testing import Double
from tests.unit.house.skeleton import REPOSITORY

DOC = (REPOSITORY / "docs" / "clients.md").read_text("utf-8")
EXAMPLES: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE
)


IMPORTED = {
    "arro3": "arro3-io", "cryptography": "cryptography", "google": "googleapis-common-protos", "grpc": "grpcio",
    "rich": "rich", "typer": "typer",
}  # fmt: skip


def test_what_is_to_be_installed_for_it_is_what_it_imports_and_is_in_the_lock() -> None:
    imported = set[str]()
    for file in (REPOSITORY / "sdk/python").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    needed = {IMPORTED[each] for each in imported - sys.stdlib_module_names - {"provost", "provost_sdk"}}
    (told,) = re.findall(r"grep -oE '(\^\(.*?)' \$PROVOST/requirements/run\.lock", DOC)
    pinned = re.findall(told, (REPOSITORY / "requirements/run.lock").read_text("utf-8"), re.MULTILINE)
    assert sorted(pinned) == sorted(needed | {"protobuf"}), "google.protobuf is its own distribution"


def test_there_are_three() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("program", "said"), EXAMPLES, ids=["asynchronous", "waiting", "double"])
async def test_an_example_says_what_is_written_there(program: str, said: str) -> None:
    async with Double() as double:
        secrets = {"PROVOST_ADDRESS": double.address, "PROVOST_API_KEY": double.key("operator")}
        process = await create_subprocess_exec(
            sys.executable, "-c", program, env={"PATH": os.environ["PATH"], **secrets}, stdout=PIPE
        )
        heard, _ = await process.communicate()
    assert heard.decode() == said
