"""One whole Provost for the tests of this folder that only talk to it."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.e2e.embedded.embedded import Embedded


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Embedded]:
    """One for each module, with the module's own SETTINGS if it has any."""
    settings = {"RATE_LIMIT_REQUESTS": "0", **getattr(request.module, "SETTINGS", {})}
    given = Embedded(tmp_path_factory.mktemp("provost") / "home", **settings)
    given.start()
    yield given
    given.stop()
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


@pytest.fixture
def operator(running: Embedded) -> Iterator[httpx.Client]:
    with client(running, "operator") as given:
        yield given


@pytest.fixture
def approver(running: Embedded) -> Iterator[httpx.Client]:
    with client(running, "approver") as given:
        yield given


def client(running: Embedded, role: str) -> httpx.Client:
    """Speaks REST as `role`."""
    return httpx.Client(
        base_url=running.run_json()["http"], headers={"X-API-Key": running.key(role)}, timeout=120
    )
