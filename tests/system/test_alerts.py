"""Alert rules, tried by promtool: each rings for what it is meant for, and for nothing when all is well."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.house.skeleton import REPOSITORY

pytestmark = pytest.mark.system

WATCHING = REPOSITORY / "deploy/prometheus"
CASES = Path(__file__).with_name("alerts_test.yml")


def promtool(folder: Path, *arguments: str) -> str:
    command = ["promtool", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for each in (*WATCHING.glob("*.yml"), CASES):
        shutil.copy(each, tmp_path)
    return tmp_path


def test_prometheus_reads_its_configuration_and_every_rule(folder: Path) -> None:
    assert "SUCCESS" in promtool(folder, "check", "config", "prometheus.yml")


def test_alerts_ring_when_they_shall(folder: Path) -> None:
    assert "SUCCESS" in promtool(folder, "test", "rules", CASES.name)


def test_every_alert_is_tried() -> None:
    names = [
        line.split()[-1] for line in (WATCHING / "alerts.yml").read_text().splitlines() if "- alert:" in line
    ]
    assert len(names) > 10
    assert [name for name in names if name not in CASES.read_text()] == []
