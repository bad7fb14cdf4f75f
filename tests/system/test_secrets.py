"""deploy/secrets.sh, run by somebody who is not root.

Owners of files and the engine are played: programs of these names come first on the path, and keep in a file which
files are no longer the caller's, so that it makes no difference who runs the test.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.house.skeleton import REPOSITORY

THEIRS = {"subjects_key", "ledger_password", "pgpass", "store_url"}
_PLAYED = {
    "id": "echo 1000",
    "docker": """while [ "$1" != chown ]; do shift; done; shift 2; printf '%s\\n' "$@" >>"$GIVEN" """,
    "stat": """if grep -qx "$(basename "$3")" "$GIVEN"; then echo 10001; else echo 1000; fi""",
    "chmod": """for each; do
      if grep -qx "$(basename "$each")" "$GIVEN"; then echo "$each: Operation not permitted" >&2; exit 1; fi
    done
    exec /bin/chmod "$@" """,
}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The list of what was given away; one name a line."""
    (tmp_path / "bin").mkdir()
    for name, does in _PLAYED.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    (tmp_path / "given").touch()
    return tmp_path / "given"


def secrets(given: Path) -> dict[str, tuple[bytes, int]]:
    """Run it; what each file has in it, and its mode."""
    place = given.with_name("secrets")
    path = f"{given.with_name('bin')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", REPOSITORY / "deploy" / "secrets.sh", place],
        env={**os.environ, "PATH": path, "GIVEN": str(given)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {each.name: (each.read_bytes(), each.stat().st_mode & 0o777) for each in place.iterdir()}


def test_made_once_it_stays_as_it_is(given: Path) -> None:
    made = secrets(given)
    assert {name for name, (_, mode) in made.items() if mode == 0o400} == THEIRS
    assert {name for name, (_, mode) in made.items() if mode == 0o600} == {"gateway.env"}
    assert set(given.read_text().split()) == THEIRS
    assert secrets(given) == made
    assert len(given.read_text().split()) == len(THEIRS)


def test_what_a_later_version_wants_besides_is_made_and_given_too(given: Path) -> None:
    made = secrets(given)
    for name in ("store_url", "store.conf"):
        (given.with_name("secrets") / name).unlink()
    given.write_text("".join(f"{each}\n" for each in THEIRS - {"store_url"}))
    assert secrets(given) == made
    assert set(given.read_text().split()) == THEIRS
