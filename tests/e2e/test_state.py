"""A task that waits for a person, seen and shared over every front: command line, REST. Real processes."""

import json
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOG = "Mar  1 03:00:00 web1 kernel: EXT4-fs error: No space left on device\n" * 20


def cli(running: Embedded, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("provost")), *arguments]
    return subprocess.run(
        command, env=dict(running.environment), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_task_that_waits_for_a_person_is_seen_and_written_to(
    running: Embedded, operator: httpx.Client
) -> None:
    run = operator.post("/api/process_log", json={"log": LOG, "mode": "assisted"}).json()
    task, agent = run["task_id"], run["agent_id"]
    assert run["outcome"]["state"] == "WAITING"

    assert task in cli(running, "tasks").stdout
    put = cli(running, "state", "put", task, "problem", "cause", '{"disk": "/var"}', "--version", "0")
    assert put.returncode == 0, put.stderr
    again = cli(running, "state", "put", task, "problem", "cause", "x", "--version", "0")
    assert (again.returncode, "ENTRY_CHANGED" in again.stderr) == (1, True)
    sent = cli(running, "state", "send", task, "FEEDBACK", "look at \x1b[2J/var", "--to", agent)
    assert sent.returncode == 0, sent.stderr

    shown = cli(running, "tasks", "show", task)
    assert shown.returncode == 0, shown.stderr
    assert f"{agent} waits for APPROVAL" in shown.stdout
    assert '{"disk": "/var"}' in shown.stdout
    assert "FEEDBACK" in shown.stdout
    assert "\x1b" not in shown.stdout
    told = json.loads(cli(running, "tasks", "show", task, "--json").stdout)
    assert told["agents"][0]["waiting"]["kind"] == "APPROVAL"

    now = operator.get(f"/api/tasks/{task}").json()
    assert (now["board"][0]["value"], now["board"][0]["version"]) == ({"disk": "/var"}, 1)
    assert now["unread_messages"][0]["body"] == "look at \x1b[2J/var"
    assert [each["task_id"] for each in operator.get("/api/tasks?page_size=1").json()["items"]] == [task]
    (entry,) = operator.get(f"/api/tasks/{task}/board?section=problem").json()["items"]
    assert entry["author"].startswith("key-")

    # Nobody holds a lock while people are asked, and whoever waits is not stuck.
    assert operator.get("/api/locks").json()["items"] == []
    assert cli(running, "state", "stuck").returncode == 0
    refused = operator.post(f"/api/agents/{agent}/lock/release", json={"reason": "it hangs"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "LOCK_NOT_HELD")
    assert cli(running, "state", "verify").returncode == 0
