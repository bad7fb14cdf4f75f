"""Every direct dependency says why it is here, and the pure rooms are closed to each of them."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.unit.house.skeleton import REPOSITORY

BUILD = {"hatchling", "editables"}


def direct(*files: str) -> set[str]:
    lines = [
        line
        for file in files
        for line in (REPOSITORY / "requirements" / f"{file}.in").read_text().splitlines()
    ]
    return {re.split(r"[\[<>=~!; ]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}


def test_every_dependency_has_its_line() -> None:
    table = (REPOSITORY / "docs" / "dependencies.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \| \S", table, re.MULTILINE)
    assert sorted(named) == sorted(direct("run", "dev", "bench"))


@pytest.mark.parametrize("contract", ["kernel", "domain", "use-cases"])
def test_pure_rooms_are_closed_to_every_dependency(contract: str) -> None:
    config = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    forbidden = next(set(c["forbidden_modules"]) for c in config["contracts"] if c["id"] == contract)
    wanted = direct("run") - BUILD
    importable = {
        module
        for module, distributions in packages_distributions().items()
        if {name.lower().replace("_", "-").replace(".", "-") for name in distributions}
        & {name.replace(".", "-") for name in wanted}
    }
    assert importable
    private = {module for module in importable if module.startswith("_")}
    assert importable - private - forbidden == set()


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
