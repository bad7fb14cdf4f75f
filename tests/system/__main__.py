"""`make test-system`: run the tests that need system packages, or say by name which packages are missing.

`python -m tests.system packages` prints the names, for whoever installs them.
"""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def needs() -> dict[str, str]:
    """Debian package → a program it brings, from `packages.txt`."""
    lines = (line.partition("#")[0].split() for line in (HERE / "packages.txt").read_text().splitlines())
    return dict(filter(None, lines))


def main(arguments: list[str]) -> int:
    packages = needs()
    if arguments == ["packages"]:
        print("\n".join(packages))
        return 0

    missing = [package for package, program in packages.items() if shutil.which(program) is None]
    if missing:
        print(
            "These tests need system packages that are not here. Install them and run this again:",
            file=sys.stderr,
        )
        print(f"  sudo apt-get install --no-install-recommends {' '.join(missing)}", file=sys.stderr)
        return 1

    code = pytest.main(["-m", "system", str(HERE)])
    if code != pytest.ExitCode.NO_TESTS_COLLECTED:
        return int(code)
    if packages:
        print("packages.txt names packages, but no test marked `system` was found.", file=sys.stderr)
        return 1
    print("No test needs a system package yet: everything there is to test runs in make test.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
