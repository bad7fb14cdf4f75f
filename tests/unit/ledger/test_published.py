"""Readers of notes and tiles against what others publish: the ledger's, the SDK's and the gateway's."""

import pytest

from provost_sdk.note import NotProved, open_note, read_key, signed_by
from services.gateway.domain.faults import InvalidFields
from services.gateway.domain.tlog import TilePlace, tile_of
from services.ledger.adapters.keyring import verify
from services.ledger.domain import checkpoint
from services.ledger.domain.checkpoint import MalformedNote
from tests.vectors import published

PETER, ENOCH = (checkpoint.parse_verifier_key(each) for each in (published.PETER_KEY, published.ENOCH_KEY))
SDK_PETER, SDK_ENOCH = read_key(published.PETER_KEY), read_key(published.ENOCH_KEY)


def test_a_note_of_two_is_opened_with_the_key_of_either() -> None:
    for key in (PETER, ENOCH):
        assert checkpoint.open_note(published.BOTH, key, verify) == published.TEXT
    for keys in (SDK_PETER, [SDK_PETER], [SDK_ENOCH], [SDK_PETER, SDK_ENOCH]):
        assert open_note(published.BOTH, keys) == published.TEXT
    assert signed_by(published.BOTH, [SDK_ENOCH, SDK_PETER]) == (SDK_ENOCH, SDK_PETER)
    only_peter = f"{published.TEXT}\n{published.PETER}"
    assert signed_by(only_peter, [SDK_ENOCH, SDK_PETER]) == (SDK_PETER,)
    # A stranger's signature is passed over, however often it comes and whatever it is.
    broken = published.ENOCH[:60] + "ABCD" + published.ENOCH[60:]
    crowd = f"{published.TEXT}\n{published.PETER * 2}{published.ENOCH * 2}{broken}"
    assert open_note(crowd, SDK_PETER) == checkpoint.open_note(crowd, PETER, verify) == published.TEXT


@pytest.mark.parametrize("note", [*published.NO_NOTES, *published.NOT_PETERS])
def test_what_proves_nothing_is_refused(note: str) -> None:
    with pytest.raises(MalformedNote):
        checkpoint.open_note(note, PETER, verify)
    with pytest.raises(NotProved):
        open_note(note, SDK_PETER)
    if note in published.NO_NOTES:
        with pytest.raises(NotProved):
            open_note(note, [SDK_ENOCH, SDK_PETER])


@pytest.mark.parametrize("path", published.TILES)
def test_tiles_are_spelled_as_others_spell_them(path: str) -> None:
    index, width = published.TILES[path]
    assert tile_of("4", path) == TilePlace(4, index, width)


@pytest.mark.parametrize("path", published.NO_TILES)
def test_tiles_that_nobody_spells_like_that(path: str) -> None:
    with pytest.raises(InvalidFields):
        tile_of("4", path)
