"""Every direct dependency says why it is here, and the pure rooms are closed to each of them."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.unit.house.skeleton import REPOSITORY

BUILD = {"hatchling", "editables"}
OURS = {"kernel", "chassis", "services", "provost", "provost_sdk", "tests"}


def direct(*files: str) -> set[str]:
    lines = [
        line
        for file in files
        for line in (REPOSITORY / "requirements" / f"{file}.in").read_text().splitlines()
    ]
    found = {re.split(r"[\[<>=~!; ]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}
    return found | set(pinned("opa")) if "run" in files else found


def pinned(lock: str) -> list[str]:
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text()
    return re.findall(r"^(\S+)==", text, re.MULTILINE)


def test_every_dependency_has_its_line() -> None:
    table = (REPOSITORY / "docs" / "dependencies.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \| \S", table, re.MULTILINE)
    assert sorted(named) == sorted({*direct("run", "dev", "bench"), *pinned("system")})


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_what_no_resolver_takes_is_in_the_locks_all_the_same(lock: str) -> None:
    assert pinned("opa")[0] in pinned(lock)


def test_every_npm_package_has_its_line() -> None:
    table = (REPOSITORY / "docs" / "dependencies.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \(npm\) \| \S", table, re.MULTILINE)
    found = (
        each
        for folder in ("sdk", "tests", "examples")
        for each in (REPOSITORY / folder).glob("**/package.json")
    )
    ours = [each for each in found if "node_modules" not in each.parts]
    read = [json.loads(each.read_text()) for each in ours]
    asked = {
        name for each in read for kind in ("dependencies", "devDependencies") for name in each.get(kind, ())
    }
    assert sorted(named) == sorted(asked)


@pytest.mark.parametrize("contract", ["kernel", "domain", "use-cases"])
def test_pure_rooms_are_closed_to_every_dependency(contract: str) -> None:
    config = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    forbidden = next(set(c["forbidden_modules"]) for c in config["contracts"] if c["id"] == contract)
    assert importable(direct("run") - BUILD) - forbidden == set()


@pytest.mark.parametrize(
    ("folder", "locks"),
    [
        ("kernel", ["run"]),
        ("chassis", ["run"]),
        ("services", ["run"]),
        ("sdk", ["run"]),
        ("tests", ["run", "dev"]),
    ],
)
def test_whatever_is_imported_is_named(folder: str, locks: list[str]) -> None:
    """What only comes along with something else may stop coming."""
    elsewhere = direct("bench") if folder == "tests" else set()  # in a virtual environment of their own
    known = importable(direct(*locks)) | set(sys.stdlib_module_names) | OURS | elsewhere
    imported = {
        (str(path.relative_to(REPOSITORY)), name.partition(".")[0])
        for path in (REPOSITORY / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    assert not sorted((path, name) for path, name in imported if name not in known)


def importable(distributions: set[str]) -> set[str]:
    """The top-level modules that these distributions bring."""
    wanted = {canonical(name) for name in distributions}
    return {
        module
        for module, owners in packages_distributions().items()
        if wanted & {canonical(owner) for owner in owners} and not module.startswith("_")
    }


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pure_rooms_import_nothing_that_has_to_be_installed() -> None:
    """Stricter than the contracts, which must name what they forbid."""
    pure = [
        *(REPOSITORY / "kernel").rglob("*.py"),
        *(REPOSITORY / "services").glob("*/domain/**/*.py"),
    ]
    assert pure
    roots = {
        (str(path.relative_to(REPOSITORY)), name.partition(".")[0])
        for path in pure
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    found = sorted(
        (path, root) for path, root in roots if root not in {*sys.stdlib_module_names, "kernel", "services"}
    )
    assert not found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
