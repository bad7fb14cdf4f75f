"""What was lent and is refused is replaced at once, though not over and over."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, cast

import pytest

from chassis import process
from chassis.vault import lent as subject
from chassis.vault.lent import Lent
from tests.fakes.wait import until


class Lending:
    """Lends another user each time, for an hour."""

    def __init__(self) -> None:
        self.at: list[float] = []

    async def read(self, path: str) -> dict[str, Any]:
        self.at.append(process.monotonic())
        user = {"username": f"user-{len(self.at)}", "password": "hush"}
        return {"data": user, "lease_id": f"{path}/{len(self.at)}", "lease_duration": 3600}


@pytest.fixture
def vault() -> Lending:
    return Lending()


@pytest.fixture
async def lent(vault: Lending) -> AsyncIterator[Lent]:
    made = Lent(cast(Any, vault), "database/creds/ledger")
    await made.start()
    yield made
    await made.stop()


async def test_who_is_refused_is_replaced_no_sooner_than_it_is_worth_a_try(
    lent: Lent, vault: Lending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "REFUSED_SECONDS", 0.1)
    for user in ("user-1", "user-2"):
        assert lent()["username"] == user
        lent.refused(user)
        lent.refused(user)
        await until(lambda: lent()["username"] != user, f"{user} is replaced", 5)  # noqa: B023 - looked at here
    assert [after - before >= 0.1 for before, after in pairwise(vault.at)] == [True, True]


async def test_who_was_refused_late_keeps_the_next_one(
    lent: Lent, vault: Lending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "REFUSED_SECONDS", 0.0)
    lent.refused("user-1")
    await until(lambda: lent()["username"] == "user-2", "it is replaced", 5)
    lent.refused("user-1")
    lent.refused("user-0")
    assert lent._renew_at > process.monotonic() + 1000
    assert len(vault.at) == 2
