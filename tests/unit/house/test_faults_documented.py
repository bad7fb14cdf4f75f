"""docs/faults.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+)(…?))?`", (ROOT / "docs" / "faults.md").read_text())
    assert len(named) > 20
    for path, test, more in named:
        wanted = f"def {test}" + ("" if more else "(") if test else ""
        assert wanted in (ROOT / path).read_text(), f"{path}::{test}"


def test_every_fault_has_a_row_with_a_test() -> None:
    assert {int(number) for number, _ in ROWS} == set(range(1, 36))
    assert not [number for number, row in ROWS if "`tests/" not in row]


def test_a_row_that_is_proven_in_memory_alone_says_so() -> None:
    for number, row in ROWS:
        alone = set(re.findall(r"`tests/(\w+)/", row)) <= {"rpc", "unit"}
        assert row.endswith(" *(in memory)* ") == alone, (number, row[:60])
