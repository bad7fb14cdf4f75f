"""One trace through REST, gRPC and the event log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.invariants import everything
from tests.chaos.test_kill import nats_url
from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BY = ("gateway", "orchestrator", "policy", "state")


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", ENABLE_TRACING="true", OTEL_TRACES_EXPORTER="console")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


async def test_a_callers_trace_reaches_every_service_and_every_event_of_the_run(provost: Embedded) -> None:
    with client(provost, "operator") as api:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        run = api.post(
            "/api/process_log", json={"log": "ERROR disk full\n", "mode": "safe"}, headers=headers
        ).json()
    events = [
        event
        for event in await everything(nats_url(provost))
        if event.headers.get("ce-correlationid") == run["run_id"]
    ]
    assert len(events) > 15
    without = [event.event_type for event in events if TRACE not in event.headers.get("traceparent", "")]
    assert without == []
    provost.stop()  # what is still buffered is exported when a process ends
    for name in BY:
        lines = (provost.home / "logs" / f"{name}.log").read_text().splitlines()
        spans = [
            json.loads(line) for line in lines if line.startswith("{") and re.search(r'"trace_id"', line)
        ]
        assert any(TRACE in span["context"]["trace_id"] for span in spans), f"{name} has no span of the trace"
