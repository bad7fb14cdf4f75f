"""How long calls may take: the same in TypeScript and in Go, as docs/clients.md has it, and longer than the answer."""

import math
import re

import pytest

from provost.ledger.v1 import ledger_pb2
from provost_sdk import client
from provost_sdk.cli.process import LONGEST_WAIT_SECONDS
from services.gateway.adapters import doors
from services.gateway.domain.rights import GRPC
from services.orchestrator.handlers.orchestrator import Limits
from tests.unit.house.skeleton import REPOSITORY

_UNITS = {"Hour": 3600, "Minute": 60, "Second": 1, "s": 1, "min": 60, "h": 3600}


def _table(file: str, begin: str) -> str:
    _, _, rest = (REPOSITORY / file).read_text("utf-8").partition(begin)
    table, _, _ = rest.partition("\n}")
    assert table
    return table


def of_go() -> dict[str, int]:
    """Seconds by the full name of the method; 0: none."""
    rows = re.findall(
        r'"(/[\w./]+)":\s+(\d+)(?: \* time\.(\w+))?,', _table("sdk/go/provost/client.go", "var patienceOf")
    )
    return {method: int(n) * (_UNITS[unit] if unit else 0) for method, n, unit in rows}


def of_typescript() -> dict[str, int]:
    table = _table("sdk/typescript/src/connection.ts", "const PATIENCE_MS").replace("STREAM_MS", "600_000")
    found = {}
    for method, times, ms in re.findall(r"^  (\w+): (?:(\d+) \* )?([\d_]+),$", table, re.MULTILINE):
        found[method[0].upper() + method[1:]] = int(times or 1) * int(ms) // 1000
    return found


def test_they_are_the_same_in_typescript_and_in_go_and_of_methods_that_there_are() -> None:
    go = of_go()
    assert set(go) <= set(GRPC)
    assert {method.rpartition("/")[2]: seconds for method, seconds in go.items()} == of_typescript()


def test_the_documentation_has_all_of_them() -> None:
    _, _, rest = (REPOSITORY / "docs/clients.md").read_text("utf-8").partition("## Deadlines")
    told = {}
    for calls, deadline in re.findall(r"^\| (.*`) \| (.*) \|$", rest.partition("\n## ")[0], re.MULTILINE):
        n, _, unit = deadline.partition(" ")
        for call in re.findall(r"`(\w+)`", calls):
            told[call] = 0 if deadline.startswith("none") else int(n) * _UNITS[unit]
    assert told == of_typescript()


def test_who_waits_for_a_run_is_told_its_id_before_anybody_gives_up() -> None:
    patience = (of_typescript()["ProcessLog"], client.RUN_SECONDS, doors.RUN_SECONDS)
    assert Limits().max_wait_seconds + 60 <= min(patience)
    assert Limits().max_wait_seconds == LONGEST_WAIT_SECONDS


async def test_a_wait_without_an_end_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def call(method: object, request: ledger_pb2.AwaitInclusionRequest, seconds: float) -> object:
        asked.append(request.timeout_seconds)
        return ledger_pb2.AwaitInclusionResponse()

    async with client.Provost("127.0.0.1:1") as provost:
        monkeypatch.setattr(provost, "_call", call)
        await provost.await_inclusion("id-4", timeout_seconds=math.inf)
    assert asked == [20]
