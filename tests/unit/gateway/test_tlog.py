"""The log at the paths of C2SP tlog-tiles: how tiles are spelled, who reads them, and what may be kept."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.faults import InvalidFields
from services.gateway.domain.tlog import TilePlace, path_of, tile_of
from tests.fakes.doors import ADMIN, AUDITOR, OPERATOR, OTHER_AUDITOR, VIEWER, House
from tests.unit.gateway.conftest import client_of

LONG = "max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "index", "width"),
    [
        ("000", 0, 0),
        ("067", 67, 0),
        ("x001/x234/067", 1_234_067, 0),  # the example of the specification
        ("x001/000", 1000, 0),
        ("273.p/112", 273, 112),
        ("x001/x234/067.p/255", 1_234_067, 255),
        ("x009/x223/x372/x036/x854/x775/807.p/1", 2**63 - 1, 1),
    ],
)
def test_places_as_the_specification_spells_them(path: str, index: int, width: int) -> None:
    assert tile_of("7", path) == TilePlace(7, index, width)
    assert path_of(index) + (f".p/{width}" if width else "") == path


@given(st.integers(0, 2**63 - 1))
def test_every_index_has_one_spelling(index: int) -> None:
    assert tile_of("63", path_of(index)) == TilePlace(63, index, 0)


MALFORMED = [
    "", "0", "00", "0000", "67", "1234067", "x067", "x001/234/067", "001/067", "x001/x234/x067", "x1/067", "x000/067",
    "x000/x001/234", "067/", "/067", "067.p", "067.p/", "067.p/0", "067.p/01", "067.p/256", "067.p/999", "067.p/1/",
    "067.p/-1", "067.p/+1", "-67", "0x7", "06٧", "067.p/٧", "X001/067", "067.P/1", "067.p/1.p/1", " 067", "067 ",
    "x009/x223/x372/x036/x854/x775/808", "x001/x000/x000/x000/x000/x000/x000/000", "../067", "067\n",
]  # fmt: skip


@pytest.mark.parametrize("path", MALFORMED)
def test_what_is_spelled_otherwise_names_nothing(path: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        tile_of("0", path)
    assert caught.value.reason == "FIELD_INVALID"


@pytest.mark.parametrize("level", ["", "64", "00", "01", "-1", "+1", "1.0", "100", "x", "٣", "1 ", "data"])
def test_a_level_is_a_number_up_to_63(level: str) -> None:
    with pytest.raises(InvalidFields):
        tile_of(level, "000")


async def test_an_auditor_reads_the_log_and_may_keep_its_tiles(house: House) -> None:
    async with client_of(house, AUDITOR) as rest:
        head = await rest.get("/tlog/checkpoint")
        assert (head.status_code, head.text) == (200, "provost\n7\n…\n")
        assert head.headers["content-type"] == "text/plain; charset=utf-8"
        assert head.headers["cache-control"] == "private, no-cache"
        tile = await rest.get("/tlog/tile/0/000.p/5")
        assert (tile.status_code, tile.content) == (200, bytes(160))
        entries = await rest.get("/tlog/tile/entries/000.p/5")
        assert (entries.status_code, entries.content) == (200, b"".join(bytes([n]) * 1000 for n in range(3)))
        for answer in (tile, entries):
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers.get_list("cache-control") == [f"private, {LONG}"]
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_not_there_is_not_kept(house: House) -> None:
    async with client_of(house, AUDITOR) as rest:
        for path, status, reason in (
            ("0/001.p/5", 404, "TILE_UNKNOWN"),
            ("0/000", 404, "TILE_UNKNOWN"),
            ("entries/000.p/6", 404, "TILE_UNKNOWN"),
            ("entries/000.p/256", 400, "FIELD_INVALID"),
            ("64/000", 400, "FIELD_INVALID"),
            ("0/x000/000", 400, "FIELD_INVALID"),
            ("0/0000000000000000000000000000", 400, "FIELD_INVALID"),
        ):
            answer = await rest.get(f"/tlog/tile/{path}")
            assert (answer.status_code, answer.json()["reason"]) == (status, reason), path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers.get_list("cache-control") == ["no-store"]
        assert (await rest.get("/tlog/tile/0")).json()["reason"] == "ROUTE_UNKNOWN"
        assert (await rest.post("/tlog/checkpoint")).status_code == 405


async def test_a_key_is_shown_in_any_of_three_ways(house: House) -> None:
    async with client_of(house, "") as rest:
        for path, headers in (
            ("/tlog/checkpoint", {"X-API-Key": AUDITOR}),
            (f"/tlog/checkpoint?api_key={AUDITOR}", {}),
            ("/tlog/checkpoint", {"Authorization": f"Bearer {AUDITOR}"}),
            ("/tlog/checkpoint", {"Authorization": f"bearer  {ADMIN}"}),
        ):
            assert (await rest.get(path, headers=headers)).status_code == 200
        for wrong in ({"Authorization": AUDITOR}, {"Authorization": f"Basic {AUDITOR}"}, {}):
            answer = await rest.get("/tlog/checkpoint", headers=wrong)
            assert (answer.status_code, answer.json()["reason"]) == (401, "KEY_MISSING")
        answer = await rest.get("/tlog/checkpoint", headers={"Authorization": "Bearer guess"})
        assert (answer.status_code, answer.json()["reason"]) == (401, "KEY_UNKNOWN")


@pytest.mark.parametrize(
    ("key", "reason"),
    [(OPERATOR, "ROLE_MISSING"), (VIEWER, "ROLE_MISSING"), (OTHER_AUDITOR, "TENANT_MISMATCH")],
)
@pytest.mark.parametrize("public", [True, False])
async def test_others_are_turned_away_and_written_down(
    house: House, key: str, reason: str, public: bool
) -> None:
    house.public_log = public
    async with client_of(house, key) as rest:
        for path in ("/tlog/checkpoint", "/tlog/tile/0/000.p/5", "/tlog/tile/entries/000.p/5"):
            answer = await rest.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (403, reason)
    assert [each["reason"] for each in house.refusals.noted] == [reason] * 3
    assert not house.ledger.callers


async def test_an_open_log_is_read_by_anyone_and_nothing_else_is(house: House) -> None:
    house.public_log = True
    async with client_of(house, "") as rest:
        tile = await rest.get("/tlog/tile/0/000.p/5")
        assert (tile.status_code, tile.headers["cache-control"]) == (200, f"public, {LONG}")
        assert (await rest.get("/tlog/checkpoint")).headers["cache-control"] == "public, no-cache"
        assert (await rest.get("/tlog/tile/entries/000.p/5")).status_code == 200
        assert (await rest.get("/api/events")).status_code == 401
        assert (await rest.get("/api/ledger/head")).status_code == 401
    assert {each.roles for each in house.ledger.callers} == {frozenset({"auditor"})}
    assert set(house.meter.taken) == {"peer/127.0.0.1", "wrong/127.0.0.1"}


async def test_a_bundle_that_breaks_off_is_not_taken_for_whole(house: House) -> None:
    house.ledger.pieces = 0
    async with client_of(house, AUDITOR) as rest:
        answer = await rest.get("/tlog/tile/entries/000.p/5")
        assert (answer.status_code, answer.json()["reason"]) == (503, "PEER_UNREACHABLE")
        house.ledger.pieces = 1
        with pytest.raises((httpx2.HTTPError, AssertionError)):
            await rest.get("/tlog/tile/entries/000.p/5")
