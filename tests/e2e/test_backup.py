"""The machine is lost: what docs/operations.md says to keep is enough to have everything again, on another."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import REPOSITORY, Embedded
from tests.e2e.test_main_job import LOG, process
from tests.fakes.process import ServerProcess, answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEPT = ("keys", "artifacts", "ledger/signer")
"""Besides the copy of the log, with its keys: the table in docs/operations.md."""


def test_what_is_to_be_kept_is_enough(tmp_path: Path) -> None:
    lost = Embedded(tmp_path / "lost", RATE_LIMIT_REQUESTS="0")
    lost.start()
    try:
        with client(lost, "operator") as api:
            run = process(api, LOG).json()
            events = api.get("/api/events?page_size=200").json()["items"]
        # Files first: a signer that remembers more than the log holds refuses to go on, and is right to.
        for name in KEPT:
            shutil.copytree(lost.home / name, tmp_path / "files" / name)
        backup(lost, "take", tmp_path / "copy")
        size = verified(lost)
    finally:
        lost.stop()
        lost.kill()

    found = Embedded(tmp_path / "found", RATE_LIMIT_REQUESTS="0")
    shutil.copytree(tmp_path / "files", found.home)
    store = found.home / "nats"
    store.mkdir(mode=0o700)
    port = int(found.environment["PROVOST_NATS_PORT"])
    config = tmp_path / "empty.conf"
    config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}" }}\n')
    alone = ServerProcess(
        [str(Path(sys.executable).parent / "nats-server"), "-c", str(config)],
        port,
        tmp_path / "empty.log",
        lambda: answers(port, b"", b"INFO "),
    )
    alone.start()
    try:
        backup(found, "restore", tmp_path / "copy", password=False)
    finally:
        alone.stop()
    found.start()
    try:
        with client(found, "operator") as api:
            assert api.get(f"/api/runs/{run['run_id']}").json()["incident"] == run["incident"]
            again = api.get("/api/events?page_size=200&oldest_first=true").json()["items"]
            assert {each["event_id"] for each in events} <= {each["event_id"] for each in again}
            assert process(api, LOG).status_code == 200, "it goes on where it was"
        found.until(
            lambda: verified(found) > size,
            "the signer, who remembers, signs a tree that goes on from its last",
        )
    finally:
        found.stop()
        found.kill()


def backup(running: Embedded, verb: str, directory: Path, *, password: bool = True) -> None:
    port = running.environment["PROVOST_NATS_PORT"]
    user = f"provost:{(running.home / 'keys' / 'nats').read_text().strip()}@" if password else ""
    done = subprocess.run(
        [sys.executable, "-m", "chassis.backup", verb, str(directory), "--with-keys"],
        env={"PATH": os.environ["PATH"], "PROVOST_NATS_URL": f"nats://{user}127.0.0.1:{port}"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def verified(running: Embedded) -> int:
    """The size of the signed tree, once all of it verifies against the log."""
    with client(running, "auditor") as api:
        verdict = api.post("/api/ledger/verify").json()
        assert verdict["ok"], verdict
        return int(api.get("/api/ledger/head").json()["tree_size"])
