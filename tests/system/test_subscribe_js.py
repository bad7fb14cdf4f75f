"""examples/subscribe.mjs, as users run it: every event of a tenant as JSON, and behind a sequence."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chassis.eventlog.stream import stream_state
from services.ledger.wire.cloudevents import cloudevent
from tests.integration.log.test_subscribers import Shared, shared
from tests.unit.house.skeleton import REPOSITORY

__all__ = ["shared"]
pytestmark = pytest.mark.system


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example, with its packages."""
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("package.json", "package-lock.json", "subscribe.mjs"):
        shutil.copy(REPOSITORY / "examples" / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return folder


async def test_it_reads_what_is_there_and_goes_on(shared: Shared, folder: Path) -> None:
    for n in range(1, 8):
        told = cloudevent(
            n, "evt.acme.a.b.c.D", {"ce-id": f"id-{n}", "ce-time": "t", "ce-subject": f"b/{n}"}, b""
        )
        await shared.ours.ask(f"pub.{'other' if n == 3 else 'acme'}.a.b.c.D", told)
    assert (await stream_state(shared.ours)).last == 0  # the log itself has nothing of it

    def lines(*more: str) -> list[list[str]]:
        command = ["node", "subscribe.mjs", str(folder.parent / "keys" / "acme.url"), *more]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    found = lines("0", "6")
    assert [each[0] for each in found] == ["1", "2", "4", "5", "6", "7"]
    assert found[0][1:] == ["t", "provost.Unreadable", "b/1", json.dumps({})]
    assert [each[0] for each in lines("4", "3")] == ["5", "6", "7"]
