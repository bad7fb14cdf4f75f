"""An auditor takes the whole log away, through the gateway, and checks it with nothing running and no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.embedded.embedded import REPOSITORY, Embedded

PROVOST = [sys.executable, "-c", "from provost_sdk.cli import main; main()", "ledger"]


def provost(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PROVOST_HOME": str(home), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [*PROVOST, *map(str, arguments)],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_export_is_taken_away_and_proved(
    running: Embedded, operator: httpx.Client, tmp_path: Path
) -> None:
    log = "kernel: Out of memory: Killed process 4242 (java) of user quetzalcoatl\n" * 20
    done = operator.post("/api/process_log", json={"log": log, "mode": "safe"})
    assert done.status_code == 200, done.text
    key = provost(running.home, "key").stdout.strip()
    assert key.startswith("provost.local/main+")
    taken = provost(running.home, "export", tmp_path / "export", "--verifier-key", key)
    assert taken.returncode == 0, taken.stderr
    # From here on without a home: nothing says where a Provost could be, and none is asked.
    checked = provost(tmp_path / "nowhere", "verify", "--export", tmp_path / "export", "--key", key, "--json")
    assert checked.returncode == 0, checked.stderr
    said = json.loads(checked.stdout)
    rows = [json.loads(each) for each in (tmp_path / "export/events/00000.jsonl").read_text().splitlines()]
    assert (said["proved"], said["tree_size"], said["parquet"]) == (True, len(rows), "equal")
    assert any(row["type"] == "provost.orchestrator.v1.RunEnded" for row in rows)
    # What is personal goes out as it was published: sealed.
    whole = b"".join(each.read_bytes() for each in (tmp_path / "export").rglob("*") if each.is_file())
    assert "quetzalcoatl" in done.text
    assert b"sealed:v1:" in whole
    assert b"quetzalcoatl" not in whole
    edited = tmp_path / "export/events/00000.jsonl"
    edited.write_text(edited.read_text().replace("RUN_STATE_COMPLETED", "RUN_STATE_FAILED"))
    again = provost(tmp_path / "nowhere", "verify", "--export", tmp_path / "export", "--key", key)
    assert again.returncode == 1
    assert "Not proved: events/00000" in again.stderr


@pytest.mark.parametrize("role", ["operator", "approver", "viewer"])
def test_others_than_auditors_are_refused(role: str, running: Embedded, tmp_path: Path) -> None:
    done = provost(running.home, "export", tmp_path / "export", "--key", running.key(role))
    assert (done.returncode, "ROLE_MISSING" in done.stderr) == (1, True), done.stderr
    assert not list(tmp_path.iterdir())
