"""The worked example of docs/policy.md, pasted into a shell beside a whole Provost: it does what it says there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.embedded.embedded import REPOSITORY, Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def pasted() -> str:
    """Every command of the example, in order."""
    document = (REPOSITORY / "docs" / "policy.md").read_text("utf-8")
    section = document.partition("## A worked example")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def test_the_worked_example_works(running: Embedded, operator: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    path = os.pathsep.join((str(Path(sys.executable).parent), running.environment["PATH"]))
    done = subprocess.run(
        ["bash", "-eu"],
        input=pasted(),
        env=dict(running.environment) | {"PATH": path, "COLUMNS": "300"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "version 2 could go live, 7 tests passed",
        "7 of 7 passed",
        "not_the_root_disk",
        "0 of ",
        "Version 2 is in force instead of 1",
        "NEEDS_APPROVAL  APPROVAL_REQUIRED by approval.production (policy set 2)",
        "would be",
        "Version 1 is in force instead of 2",
        "(rolled back) that was it",
    ):
        assert said in done.stdout, (said, done.stdout)
    assert "(TOO_MANY_FLIPS)" in done.stderr
    assert operator.get("/api/policy").json()["version"] == "1"
