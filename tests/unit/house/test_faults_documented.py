"""docs/faults.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+)(…?))?`", (ROOT / "docs" / "faults.md").read_text())
    assert len(named) > 20
    for path, test, more in named:
        wanted = f"def {test}" + ("" if more else "(") if test else ""
        assert wanted in (ROOT / path).read_text(), f"{path}::{test}"


def test_each_of_the_ledgers_faults_has_one() -> None:
    table = (ROOT / "docs" / "faults.md").read_text()
    for number in (2, 5, 6, 7, 14, 15, 16, 23, 24):
        (row,) = re.findall(rf"^\| {number} \|.*", table, re.MULTILINE)
        assert "`tests/" in row, number
