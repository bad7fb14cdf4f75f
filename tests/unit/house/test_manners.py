"""Rules of the house that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.house.skeleton import REPOSITORY


def sources(*roots: str) -> list[Path]:
    return sorted(path for root in roots for path in (REPOSITORY / root).rglob("*.py"))


def where(path: Path, node: ast.stmt | ast.expr) -> str:
    return f"{path.relative_to(REPOSITORY)}:{node.lineno}"


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def sleeps_outside_loops(tree: ast.Module) -> list[ast.Call]:
    """Sleeps that wait for time to pass. A loop that asks for a fact between sleeps waits for that fact."""
    in_loops = {
        id(node)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for node in ast.walk(loop)
    }
    return [
        call
        for call, name in calls(tree)
        if name in ("time.sleep", "asyncio.sleep", "sleep")
        and id(call) not in in_loops
        and ast.unparse(call.args[0]) != "0"
    ]


def test_tests_wait_for_facts_and_never_for_time() -> None:
    found = [
        where(path, call)
        for path in sources("tests")
        for call in sleeps_outside_loops(ast.parse(path.read_text()))
    ]
    assert not found, f"sleeps outside a loop that asks for a fact: {found}"


def test_a_bare_sleep_is_found() -> None:
    assert (
        len(
            sleeps_outside_loops(
                ast.parse("import time\ntime.sleep(1)\nwhile not done():\n    time.sleep(0.01)\n")
            )
        )
        == 1
    )


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    skipping = {
        "pytest.skip",
        "pytest.xfail",
        "pytest.importorskip",
        "pytest.mark.skip",
        "pytest.mark.skipif",
        "pytest.mark.xfail",
    }
    found = [
        where(path, node)
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in skipping
    ]
    assert not found, f"tests that may not run: {found}"


def test_every_folder_of_code_is_a_package() -> None:
    """The walls are checked inside packages; a folder without `__init__.py` would stand outside them."""
    folders = {path.parent for path in sources("kernel", "chassis", "services", "sdk/python")}
    roots = {REPOSITORY / "services", REPOSITORY / "sdk" / "python"}
    assert not {str(folder) for folder in folders - roots if not (folder / "__init__.py").exists()}


def test_domains_await_nothing() -> None:
    found = [
        where(path, node)
        for path in sources("services")
        if "domain" in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not found, f"async in a domain: {found}"


def roots() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources("services"):
        if path.name == "__main__.py":
            yield path, ast.parse(path.read_text())


def lines_below_imports(tree: ast.Module) -> int:
    first = next(node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom))
    return (tree.body[-1].end_lineno or 0) - first.lineno + 1


def squeezed(tree: ast.Module) -> list[ast.expr | ast.stmt]:
    """What makes a line two: a value named in passing, and several values in one assignment."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.NamedExpr)
        or (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Tuple)
            and isinstance(node.targets[0], ast.Tuple)
        )
    ]


def test_composition_roots_are_read_at_a_glance() -> None:
    """What they put together fits on a screen."""
    lengths = {str(path): lines_below_imports(tree) for path, tree in roots()}
    assert not {path: lines for path, lines in lengths.items() if lines > 60}


def test_composition_roots_make_one_thing_a_line() -> None:
    found = [where(path, node) for path, tree in roots() for node in squeezed(tree)]
    assert not found, f"squeezed together: {found}"


def test_what_is_squeezed_is_found() -> None:
    assert len(squeezed(ast.parse("a, b = 1, 2\nc(d := 3)\ne, f = g()\nh = (1, 2)\n"))) == 2


@pytest.mark.parametrize("lock", ["run", "dev", "bench"])
def test_a_lock_carries_no_address(lock: str) -> None:
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text()
    assert "--hash=sha256:" in text
    assert not [
        line
        for line in text.splitlines()
        if "://" in line or line.lstrip().startswith(("--index", "--extra", "--find"))
    ]
