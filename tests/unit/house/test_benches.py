"""A bench that crashes is never taken for one that ran."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHES, judged
from tests.bench.verdict import FELL_SHORT, ended


@pytest.mark.parametrize("name", BENCHES)
def test_what_a_bench_finds_is_its_exit_code(name: str) -> None:
    spec = find_spec(f"tests.bench.{name}.__main__" if name == "analysis" else f"tests.bench.{name}")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text("utf-8")
    assert "def main() -> int:" in source
    assert source.rstrip().endswith(("sys.exit(main())", "raise SystemExit(main())"))


def test_a_bench_that_falls_short_is_told_and_one_that_crashes_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    crashed = subprocess.run([sys.executable, "-c", "raise RuntimeError"], check=False, capture_output=True)
    misused = subprocess.run([sys.executable, "--no-such-option"], check=False, capture_output=True)
    assert judged({"good": ended([True]), "slow": ended([True, False])}) == 0
    assert "short of a goal: slow" in capsys.readouterr().out
    for code in (crashed.returncode, misused.returncode, -9):
        assert code != FELL_SHORT
        assert judged({"good": 0, "bad": code}) == 1
        assert f"broken: bad (exit code {code})" in capsys.readouterr().err
