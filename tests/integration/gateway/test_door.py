"""The gateway's own process: what it records, what it survives, how it ends."""

import asyncio
import json
import subprocess
from typing import Any

import httpx2
import pytest

from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from kernel.events import Stream
from provost.gateway.v1 import events_pb2
from services.gateway.wire.events import CODEC
from tests.fakes.doors import VIEWER
from tests.integration.gateway.conftest import Door

LOG = {"log": "Out of memory: Killed process 4242 (java)\n"}
MIB = 1024 * 1024


async def refusals(connection: Connection) -> list[events_pb2.Refusal]:
    log = JetStreamLog(connection, CODEC, "tests")
    recorded = await log.load(Stream("*", "gateway", "access", "*"))
    return [each for one in recorded for each in events_pb2.AccessRefused.FromString(one.payload).refusals]


async def counted(connection: Connection, at_least: int) -> dict[str, int]:
    """How often each reason is in the log, once there are `at_least` in all."""
    counts: dict[str, int] = {}
    async with asyncio.timeout(15):
        while sum(counts.values()) < at_least:
            await asyncio.sleep(0.05)
            counts = {}
            for each in await refusals(connection):
                counts[each.reason] = counts.get(each.reason, 0) + each.count
    return counts


async def test_the_main_job_over_http(door: Door) -> None:
    answer = await door.rest.post("/api/process_log", json=LOG | {"request_id": "one"})
    assert (answer.status_code, answer.json()["run_id"]) == (200, "one")
    assert answer.json()["source"]["size_bytes"] == len(LOG["log"])


async def test_attempts_that_were_refused_are_in_the_event_log_without_the_key(door: Door) -> None:
    for _ in range(30):
        await door.rest.post("/api/process_log", json=LOG, headers={"X-API-Key": "s3cret-canary"})
    await door.rest.post("/api/process_log?api_key=s3cret-canary", json=LOG, headers={"X-API-Key": ""})
    await door.rest.post("/api/process_log", json=LOG, headers={"X-API-Key": ""})
    await door.rest.post("/api/process_log", json=LOG, headers={"X-API-Key": VIEWER})
    assert await counted(door.events, 33) == {"KEY_UNKNOWN": 31, "KEY_MISSING": 1, "ROLE_MISSING": 1}
    found = await refusals(door.events)
    assert len(found) < 33
    assert "canary" not in str(found)
    assert VIEWER not in str(found)
    log = door.process.log.read_text()
    assert "canary" not in log
    assert VIEWER not in log


async def test_refusals_of_the_last_moment_are_written_before_it_ends(door: Door) -> None:
    for _ in range(7):
        await door.rest.get("/api/runs", headers={"X-API-Key": ""})
    await asyncio.to_thread(door.process.stop)
    assert await counted(door.events, 7) == {"KEY_MISSING": 7}


async def test_refusals_wait_for_the_event_log(door: Door) -> None:
    door.nats.pause()
    for _ in range(5):
        assert (await door.rest.get("/api/runs", headers={"X-API-Key": ""})).status_code == 401
    door.nats.resume()
    assert await counted(door.events, 5) == {"KEY_MISSING": 5}


async def test_a_flood_of_large_bodies_leaves_memory_flat(door: Door) -> None:
    raw = {"content-type": "application/octet-stream"}
    await door.rest.post("/api/process_log", content=b"warm up", headers=raw)
    door.process.forget_peak()
    before = door.process.peak_memory_mib()

    async def too_long() -> Any:
        for _ in range(200):
            yield bytes(MIB)

    declared = [door.rest.post("/api/process_log", content=bytes(60 * MIB), headers=raw) for _ in range(6)]
    assert {each.status_code for each in await asyncio.gather(*declared)} == {413}
    assert door.process.peak_memory_mib() - before < 30
    undeclared = [door.rest.post("/api/process_log", content=too_long(), headers=raw) for _ in range(4)]
    assert {each.status_code for each in await asyncio.gather(*undeclared)} == {413}
    assert door.process.peak_memory_mib() - before < 120  # two places for large bodies, 32 MiB each


async def test_the_largest_log_is_taken(door: Door) -> None:
    raw = {"content-type": "application/octet-stream"}
    answer = await door.rest.post("/api/process_log", content=b"x" * 32 * MIB, headers=raw)
    assert answer.json()["source"]["size_bytes"] == 32 * MIB


async def test_requests_under_way_when_it_is_told_to_end_are_finished(door: Door) -> None:
    door.peers.orchestrator.go.clear()
    under_way = [
        asyncio.ensure_future(door.rest.post("/api/process_log", json=LOG | {"request_id": f"r-{n}"}))
        for n in range(20)
    ]
    async with asyncio.timeout(15):
        while door.peers.orchestrator.at_work < 20:
            await asyncio.sleep(0.01)
    ending = asyncio.create_task(asyncio.to_thread(door.process.stop))
    async with asyncio.timeout(15):
        while await _accepts(door):
            await asyncio.sleep(0.01)
    door.peers.orchestrator.go.set()
    answers = await asyncio.gather(*under_way)
    assert {each.status_code for each in answers} == {200}
    assert {each.json()["run_id"] for each in answers} == {f"r-{n}" for n in range(20)}
    await ending


async def _accepts(door: Door) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", door.process.http_port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_service_that_is_away_is_503_and_one_that_comes_back_is_waited_for(door: Door) -> None:
    await door.peers.stop("orchestrator")
    asked = asyncio.ensure_future(door.rest.post("/api/process_log", json=LOG))
    health = (await door.rest.get("/api/health")).json()
    assert [each["name"] for each in health["components"] if not each["healthy"]] == [
        "state", "orchestrator", "actuators",
    ]  # fmt: skip
    await door.peers.start("orchestrator")
    assert (await asked).status_code == 200
    answer = await door.rest.get("/api/approvals")
    assert answer.status_code in (500, 502)  # these policies do not know approvals
    assert "Traceback" not in answer.text
    await door.peers.stop("policy")
    away = await door.rest.get("/api/agents")
    assert (away.status_code, away.json()["reason"]) == (503, "PEER_UNREACHABLE")
    assert int(away.headers["retry-after"]) >= 1


async def test_a_taken_port_is_named_with_its_setting(door: Door) -> None:
    def second(http_port: str, grpc_port: str) -> "subprocess.CompletedProcess[str]":
        command = [
            f"PROVOST_HTTP_PORT={http_port}" if each.startswith("PROVOST_HTTP_PORT=") else each
            for each in door.process._command
        ]
        command = [
            f"PROVOST_GATEWAY_PORT={grpc_port}" if each.startswith("PROVOST_GATEWAY_PORT=") else each
            for each in command
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    from tests.fakes.process import free_port

    taken = await asyncio.to_thread(second, str(door.process.http_port), str(free_port()))
    assert taken.returncode == 1
    assert "PROVOST_HTTP_PORT" in taken.stderr
    assert "panicked" not in taken.stderr
    taken = await asyncio.to_thread(second, str(free_port()), str(door.process.grpc_port))
    assert taken.returncode == 1
    assert "PROVOST_GATEWAY_PORT" in taken.stderr


class TestTheRate:
    """Right across replicas, and still held while the store is away."""

    @pytest.fixture
    def changes(self) -> dict[str, str]:
        return {"RATE_LIMIT_REQUESTS": "10", "RATE_LIMIT_WINDOW_SEC": "3600"}

    async def test_two_replicas_count_together(self, door: Door, tmp_path: Any) -> None:
        from tests.integration.gateway.conftest import GatewayProcess

        (tmp_path / "other").mkdir()
        other = GatewayProcess(
            tmp_path / "other", door.nats.url, door.valkey.url, door.peers.addresses,
            RATE_LIMIT_REQUESTS="10", RATE_LIMIT_WINDOW_SEC="3600",
        )  # fmt: skip
        await asyncio.to_thread(other.start)
        try:
            async with httpx2.AsyncClient(headers={"X-API-Key": VIEWER}) as client:
                urls = [door.process.url, other.url] * 8
                answers = [await client.get(f"{url}/api/runs?state=DONE") for url in urls]
        finally:
            await asyncio.to_thread(other.stop)
        assert [each.status_code for each in answers] == [400] * 10 + [429] * 6
        assert int(answers[-1].headers["retry-after"]) > 1

    async def test_without_the_store_each_replica_counts_alone(self, door: Door) -> None:
        door.valkey.pause()
        try:
            answers = [await door.rest.get("/api/runs?state=DONE") for _ in range(13)]
        finally:
            door.valkey.resume()
        assert [each.status_code for each in answers] == [400] * 10 + [429] * 3
        page = (await door.rest.get("/api/metrics")).text
        (fallbacks,) = [
            float(line.split()[1])
            for line in page.splitlines()
            if line.startswith("provost_ratelimit_fallbacks_total")
        ]
        assert fallbacks >= 10


class TestTheOpenDoor:
    """Without keys it is open, and says so wherever somebody looks."""

    @pytest.fixture
    def changes(self) -> dict[str, str]:
        return {"API_KEYS": "", "ADMIN_KEYS": ""}

    async def test_it_says_so_loudly(self, door: Door) -> None:
        assert (await door.rest.get("/api/config")).json()["authentication"] == "open"
        assert "API_KEYS" in (await door.rest.get("/api/health")).json()["warning"]
        assert "No API key is configured" in door.process.log.read_text()
        bare: dict[str, str] = {"X-API-Key": ""}
        assert (await door.rest.post("/api/process_log", json=LOG, headers=bare)).status_code == 200


async def test_mistakes_in_the_keys_end_it_at_once_and_are_not_shown(door: Door) -> None:
    command = [
        "API_KEYS=boss:s3cret-canary" if each.startswith("API_KEYS=") else each
        for each in door.process._command
    ]
    told = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
    )
    assert told.returncode == 2
    assert "API_KEYS" in told.stderr
    assert "canary" not in told.stderr


async def test_hostile_log_text_is_one_inert_json_string(door: Door) -> None:
    hostile = 'a\r\nfake: line\x1b[31m\x00 {"x": 1} <script>alert(1)</script> ; rm -rf /\u2028'
    answer = await door.rest.post("/api/process_log", json={"log": hostile, "request_id": "h"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(answer.text)["source"]["size_bytes"] == len(hostile.encode())
