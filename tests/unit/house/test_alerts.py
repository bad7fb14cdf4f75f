"""Alerts are about metrics that exist, and somebody who is woken by one finds it in docs/operations.md."""

import re

from tests.unit.house.skeleton import REPOSITORY

RULES = (REPOSITORY / "deploy/prometheus/alerts.yml").read_text("utf-8")
_SUFFIX = re.compile(r"_(total|bucket)$")


def test_every_alert_is_explained() -> None:
    names = re.findall(r"- alert: (\w+)", RULES)
    told = re.findall(
        r"^\| `(Provost\w+)` \|", (REPOSITORY / "docs/operations.md").read_text("utf-8"), re.MULTILINE
    )
    assert names
    assert sorted(names) == sorted(told)


def test_every_metric_of_an_alert_exists() -> None:
    code = "\n".join(
        path.read_text("utf-8")
        for room in ("chassis", "services")
        for path in (REPOSITORY / room).rglob("*.py")
    )
    metrics = {_SUFFIX.sub("", name) for name in re.findall(r"\bprovost_\w+", RULES)}
    assert metrics
    assert [name for name in sorted(metrics) if f'"{name}"' not in code] == []
