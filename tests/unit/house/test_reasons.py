"""`reason.proto` lists every reason that is given, and none that nobody gives."""

import ast
import re

from tests.unit.house.skeleton import REPOSITORY
from tests.unit.house.test_manners import sources, where

LISTED = frozenset(
    re.findall(
        r"^  REASON_([A-Z_]+) = [1-9]",
        (REPOSITORY / "protos/provost/error/v1/reason.proto").read_text(),
        re.MULTILINE,
    )
)
FAULTS = frozenset(
    {"Invalid", "Unauthenticated", "Denied", "NotFound", "Conflict", "Refused", "Exhausted", "Unavailable"}
)
GIVES = FAULTS | {"Fault", "Breach", "Judgement", "_deny", "_end", "Permit"}
AHEAD: frozenset[str] = frozenset()
"""Listed ahead of time: none at the moment."""


def words(node: ast.AST) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant)
        and isinstance(each.value, str)
        and re.fullmatch(r"[A-Z][A-Z_]{3,}", each.value)
    }


def compared(tree: ast.AST) -> set[int]:
    """Places where a reason is only looked for: in comparisons and sets."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.Set)
        for inner in ast.walk(node)
    }


def given(tree: ast.AST) -> set[str]:
    looked_for = compared(tree)
    return {
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in looked_for
    }


def test_every_reason_that_is_given_is_listed() -> None:
    unlisted: list[str] = []
    for path in sources("kernel", "chassis", "services"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            if name not in GIVES and ast.unparse(node.func) != "super().__init__":
                continue
            # A reason stands among the first arguments, ahead of the text.
            reasons = [a for a in node.args[:3] if isinstance(a, ast.Constant | ast.IfExp)]
            unlisted += [f"{where(path, node)} {word}" for a in reasons for word in words(a) - LISTED]
    assert not unlisted, f"given, but not in reason.proto: {unlisted}"


def test_every_reason_that_is_listed_is_given_somewhere() -> None:
    all_given: set[str] = set()
    for path in sources("kernel", "chassis", "services"):
        all_given |= given(ast.parse(path.read_text()))
    assert LISTED - all_given == AHEAD, "in reason.proto, but nobody gives them (or no longer ahead of time)"


def test_a_reason_that_is_only_looked_for_counts_as_not_given() -> None:
    tree = ast.parse(
        'if fault.reason == "A_REASON" or fault.reason in frozenset({"ANOTHER"}):\n    raise X("GIVEN")'
    )
    assert given(tree) == {"GIVEN"}
