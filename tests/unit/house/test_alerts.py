"""Whoever is woken by an alert finds it in docs/operations.md; tests/system/test_alerts.py has promtool try them."""

import re

from tests.unit.house.skeleton import REPOSITORY


def test_every_alert_is_explained() -> None:
    rules = (REPOSITORY / "deploy/prometheus/alerts.yml").read_text("utf-8")
    names = re.findall(r"- alert: (\w+)", rules)
    _, _, section = (
        (REPOSITORY / "docs/operations.md").read_text("utf-8").partition("## What each alert means")
    )
    assert names
    assert sorted(names) == sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
