"""How C2SP tlog-tiles spells a tile in a path: one spelling for each, so that one cache entry is enough for each.

`<level>/<index>[.p/<width>]`, the index in groups of three digits, all but the last behind an `x`: 1234067 is
`x001/x234/067`. A number that is spelled otherwise names nothing.
"""

import re
from dataclasses import dataclass

from services.gateway.domain.faults import InvalidFields

MAX_LEVEL = 63
MAX_INDEX = 2**63 - 1
_LEVEL = re.compile(r"0|[1-9][0-9]?", re.ASCII)
_PLACE = re.compile(r"(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TilePlace:
    """`width` is 0 for a full tile, else 1 to 255."""

    level: int
    index: int
    width: int


def tile_of(level: str, place: str) -> TilePlace:
    """The tile that a path names.

    Raises:
        InvalidFields: no tile is spelled like that.
    """
    if _LEVEL.fullmatch(level) is None or int(level) > MAX_LEVEL:
        raise _malformed("level", f"is a number from 0 to {MAX_LEVEL} without leading zeros")
    found = _PLACE.fullmatch(place)
    if found is None:
        raise _malformed(
            "place", "is <index>[.p/<width>], the index as 067 or x001/x234/067, the width 1 to 255"
        )
    index, width = int(found["index"].replace("x", "").replace("/", "")), int(found["width"] or 0)
    if found["index"] != path_of(index):
        raise _malformed(
            "place", f"spells its index with groups too many: {path_of(index)} is the one spelling"
        )
    if index > MAX_INDEX:
        raise _malformed("place", f"holds an index above {MAX_INDEX}")
    if width > 255:
        raise _malformed("place", "holds a width above 255: a full tile is spelled without .p")
    return TilePlace(int(level), index, width)


def path_of(index: int) -> str:
    """How an index is spelled."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups)


def _malformed(field: str, text: str) -> InvalidFields:
    return InvalidFields("FIELD_INVALID", ((field, text),))
