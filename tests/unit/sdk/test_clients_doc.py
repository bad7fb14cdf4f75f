"""The Python examples of docs/clients.md, run as they stand there: they say what is written below them."""

import os
import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE

import pytest

from provost_sdk.testing import Double
from tests.unit.house.skeleton import REPOSITORY

EXAMPLES: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n\n```text\n(.*?)^```",
    (REPOSITORY / "docs" / "clients.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)


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
