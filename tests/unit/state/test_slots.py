"""In a cluster, what one call touches lies in one slot."""

import re
from itertools import product

import pytest
from redis.crc import key_slot

from services.state.adapters import wholeness
from services.state.adapters.scripts import APPLY, arguments
from services.state.domain.documents import Document, key_of, tag_of
from services.state.domain.view import Part, Place
from tests.unit.state.worlds import T0

SLOTS = 16384


def slot(key: str) -> int:
    found: int = key_slot(key.encode(), SLOTS)
    return found


@pytest.mark.parametrize(("tenant", "name"), list(product(["default", "acme"], ["sre-1", "task_2", ""])))
def test_everything_of_one_entity_lies_in_one_slot(tenant: str, name: str) -> None:
    places = [Place(tenant, name, part) for part in Part]
    (tag,) = {tag_of(place) for place in places}
    assert {slot(key_of(place)) for place in places} == {slot(tag)}
    keys, _ = arguments([Document(place, 1, None) for place in places], T0, {})
    assert keys[0].startswith("applied:"), "the guards come first"
    assert {slot(key) for key in keys} == {slot(tag)}


def test_entities_are_spread() -> None:
    assert len({slot(key_of(Place("default", f"sre-{n}", Part.STATE))) for n in range(1000)}) > 900


def test_scripts_touch_declared_keys_alone() -> None:
    of_the_whole = [
        text for text in vars(wholeness).values() if isinstance(text, str) and "redis.call" in text
    ]
    assert len(of_the_whole) == 5
    for script in (APPLY, *of_the_whole):
        for first in re.findall(r"redis\.call\('[A-Z]+', ([\w\[\]]+)", script):
            assert first == "key" or re.fullmatch(r"KEYS\[\d\]", first)


def test_what_says_that_the_store_is_whole_lies_in_one_slot() -> None:
    names = ("POSITION", "GENERATION", "FILLINGS", "WIPING", "FORMAT")
    assert len({slot(getattr(wholeness, name)) for name in names}) == 1
