"""Clients in four runtimes go through one script against the same Provost: all get the answers that are expected."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import given as giving
from tests.e2e.embedded.embedded import REPOSITORY, Embedded

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SCRIPT: dict[str, Any] = json.loads(giving.SCRIPT.read_text("utf-8"))


def answers(command: list[str], given: Path) -> list[dict[str, Any]]:
    """What one runner prints."""
    done = subprocess.run(
        [*command, str(giving.SCRIPT), str(given)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}\n{done.stdout}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_client_is_given_the_same_answers(
    running: Embedded, programs: dict[str, dict[str, list[str]]], go_conformance: Path, tmp_path: Path
) -> None:
    runners = {
        "python": [sys.executable, "-m", "tests.conformance.python"],
        "node": programs["node"]["conformance"],
        "bun": programs["bun"]["conformance"],
        "go": [str(go_conformance)],
    }
    # One after the other, each with a packet of its own: the agent it is for may be given other runs meanwhile.
    for name, command in runners.items():
        given = giving.prepared(running)
        found = answers(command, giving.written(given, name, tmp_path))
        expected = giving.expected(SCRIPT, given)
        assert [each["step"] for each in found] == [each["step"] for each in expected], name
        for step, wanted in zip(found, expected, strict=True):
            assert step == wanted, f"{name} was answered otherwise"
    print(f"{len(runners)} clients, {len(expected)} steps, the same answers: {', '.join(runners)}")
