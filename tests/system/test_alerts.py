"""The alert rules of deploy/prometheus: sound, tested by promtool, and on metrics that the services do offer."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.house.skeleton import REPOSITORY

pytestmark = pytest.mark.system
PLACE = REPOSITORY / "deploy" / "prometheus"


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=PLACE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_configuration_and_rules_are_sound() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_tested_and_rests_on_metrics_that_there_are() -> None:
    rules, tests = (PLACE / "alerts.yml").read_text(), (PLACE / "alerts_test.yml").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    assert alerts
    assert {each for each in alerts if f"alertname: {each}" not in tests} == set()
    code = "".join(
        path.read_text() for room in ("chassis", "services") for path in Path(REPOSITORY / room).rglob("*.py")
    )
    metrics = {re.sub(r"_(total|bucket)$", "", each) for each in re.findall(r"provost_\w+", rules)}
    assert {each for each in metrics if f'"{each}"' not in code} == set()
