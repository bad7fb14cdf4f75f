"""docs/reasons.md says of every reason what it means, and problem documents name it as that page says."""

import ast
import re
from collections import Counter

from kernel.faults import Denied
from services.gateway.web.problems import problem_of
from tests.unit.house.skeleton import REPOSITORY
from tests.unit.house.test_manners import sources, where
from tests.unit.house.test_reasons import LISTED

PAGE = (REPOSITORY / "docs" / "reasons.md").read_text()
ROWS = re.findall(r"^\| `([A-Z_]+)` \| (.*) \| ?(.*)\|$", PAGE, re.MULTILINE)


def test_every_reason_has_one_row_and_no_other_has() -> None:
    counted = Counter(reason for reason, _, _ in ROWS)
    assert not LISTED - set(counted), "in reason.proto, but docs/reasons.md does not say what it means"
    assert not set(counted) - LISTED, "docs/reasons.md explains what reason.proto does not list"
    assert {reason: n for reason, n in counted.items() if n > 1} == {}


def test_each_says_what_it_means() -> None:
    assert not [reason for reason, means, _ in ROWS if len(means.split()) < 2]


def test_nobody_is_told_to_do_what_no_key_may() -> None:
    """Packets are issued, and approvals requested, by services: what people can do is start a run."""
    told = [
        where(path, node)
        for path in sources("chassis", "services")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r": (issue|request) (one|it)\b", node.value)
    ]
    assert not told


def test_the_type_of_a_problem_is_what_the_page_says() -> None:
    problem = problem_of(Denied("SELF_APPROVAL", "whoever asked may not answer"))
    assert problem.type == "urn:provost:reason:SELF_APPROVAL"
    assert "`urn:provost:reason:`" in PAGE
