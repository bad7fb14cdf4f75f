"""`make test-system`: run the tests that need system packages, or say by name which packages are missing.

`python -m tests.system packages` prints the names of what is missing, for whoever installs them. `--without-cluster` is
for all of it but the compose cluster, which takes longer than everything else together.
"""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLUSTER = "test_cluster.py"
WITHOUT_CLUSTER = "--without-cluster"


def needs(*, cluster: bool) -> dict[str, str]:
    """Debian package → a program or file it brings, from `packages.txt`; those of the `cluster` stand last there."""
    text, _, last = (HERE / "packages.txt").read_text().partition("# The cluster:")
    lines = (line.partition("#")[0].split() for line in (text + last if cluster else text).splitlines())
    return {name: brought for name, brought, *_ in filter(None, lines)}


def is_here(brought: str) -> bool:
    """Whether a program, or a file by its whole path, is on this machine."""
    return Path(brought).exists() if brought.startswith("/") else shutil.which(brought) is not None


def main(arguments: list[str]) -> int:
    cluster = WITHOUT_CLUSTER not in arguments
    missing = [package for package, brought in needs(cluster=cluster).items() if not is_here(brought)]
    if "packages" in arguments:
        print("\n".join(missing))
        return 0

    # Decided before pytest is started: a run of it that collects nothing looks like tests that did not run.
    if not sorted(HERE.glob("test_*.py")):
        print("No test needs a system package: everything there is to test runs in make test.")
        return 0

    if missing:
        print(
            "These tests need system packages that are not here. Install them and run this again:",
            file=sys.stderr,
        )
        print(f"  sudo apt-get install --no-install-recommends {' '.join(missing)}", file=sys.stderr)
        return 1
    ignored = [] if cluster else ["--ignore", str(HERE / CLUSTER)]
    return int(pytest.main(["-m", "system", *ignored, str(HERE)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
