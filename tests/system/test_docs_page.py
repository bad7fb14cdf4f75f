"""The forms of /docs, filled in and sent by Node with what little of a browser they need."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.doors import House
from tests.unit.gateway.conftest import client_of
from tests.unit.house.skeleton import REPOSITORY

pytestmark = pytest.mark.system
HERE = Path(__file__).parent
SCRIPT = REPOSITORY / "services" / "gateway" / "web" / "docs_page" / "page.js"


async def sent(folder: Path, method: str, path: str) -> tuple[list[str], dict[str, Any]]:
    """The fields of the form, and the one request that it sends with `x-1` in each but the body's."""
    described = folder / "openapi.json"
    async with client_of(House()) as rest:
        described.write_bytes((await rest.get("/openapi.json")).content)
    command = ["node", str(HERE / "docs_page" / "form.mjs"), str(SCRIPT), str(described), method, path]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (request,) = answer["sent"]
    return answer["fields"], request


async def test_a_form_with_a_body_asks_for_nothing_that_is_refused_beside_it(tmp_path: Path) -> None:
    fields, request = await sent(tmp_path, "POST", "/api/process_log")
    assert fields == ["idempotency-key", "body"]
    assert request["target"] == "/api/process_log"
    assert request["headers"]["idempotency-key"] == "x-1"
    assert "log" in json.loads(request["body"])


async def test_a_form_without_a_body_sends_its_path_and_its_query(tmp_path: Path) -> None:
    fields, request = await sent(tmp_path, "GET", "/api/runs/{run_id}")
    assert fields == ["run_id", "wait_seconds"]
    assert (request["target"], request.get("body")) == ("/api/runs/x-1?wait_seconds=x-1", None)
