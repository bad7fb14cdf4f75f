"""A room of many files whose docstring says where to look names every one of them."""

import ast
import re
from fnmatch import fnmatch

from tests.unit.house.skeleton import REPOSITORY


def test_every_file_is_on_its_rooms_map() -> None:
    maps = {
        path.parent: text
        for path in REPOSITORY.glob("services/*/**/__init__.py")
        if "Where to look" in (text := ast.get_docstring(ast.parse(path.read_text())) or "")
    }
    assert len(maps) >= 4
    missing = [
        str(path.relative_to(REPOSITORY))
        for room, text in maps.items()
        for path in sorted(room.glob("*.py"))
        if path.stem != "__init__"
        and not any(fnmatch(path.stem, named) for named in re.findall(r"`([\w*]+)`", text))
    ]
    assert not missing
