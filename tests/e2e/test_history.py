"""The day after: why it happened, the run again, and a watch that is cut and goes on. Real processes, over REST."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import nats
import pytest

from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import kinds_of, until_over, waiting_for
from tests.fakes.websocket import websocket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SETTINGS = {"PROVOST_PUBLIC_EVENTS": "true", "PROVOST_SUBSCRIBERS": "default,acme"}


def approved_run(operator: httpx.Client, approver: httpx.Client, task: str) -> dict[str, Any]:
    """A run that acted because a person let it."""
    begun = operator.post(
        "/api/runs", json={"agent": "sre-2", "task": task, "objective": "memory", "mode": "assisted"}
    )
    run_id = begun.json()["run_id"]
    said = {"approve": True, "comment": "go on"}
    answered = approver.post(f"/api/approvals/{waiting_for(operator, run_id)}", json=said)
    assert answered.status_code == 200, answered.text
    run = until_over(operator, run_id)
    assert [effect["state"] for effect in run["outcome"]["effects"]] == ["SUCCEEDED"]
    kinds_of(operator, run_id)  # the ledger has it all
    return run


def test_an_effect_is_traced_back_to_who_asked_and_who_approved(
    operator: httpx.Client, approver: httpx.Client
) -> None:
    run = approved_run(operator, approver, "t-why")
    effect_id = run["outcome"]["effects"][0]["effect_id"]
    chain = operator.get(f"/api/effects/{effect_id}/causes").json()
    assert chain["incomplete"] is False
    steps = {step["event"]["event_type"]: step for step in chain["steps"]}
    wanted = [
        "RunStarted",
        "PlanRecorded",
        "ApprovalRequested",
        "ApprovalAnswered",
        "ApprovalUsed",
        "EffectIntended",
    ]
    places = [[step["event"]["event_type"] for step in chain["steps"]].index(kind) for kind in wanted]
    assert places == sorted(places)
    assert steps["RunStarted"]["event"]["actor"].startswith("key:")
    assert steps["ApprovalAnswered"]["summary"].endswith(": go on")
    assert "ALLOW" in steps["DecisionsMade"]["summary"]
    # Every step but the first was led to by one that is shown before it.
    sequences = [step["event"]["sequence"] for step in chain["steps"]]
    for step in chain["steps"]:
        if step["event"]["event_type"] not in {"RunStarted", "ArtifactStored"}:
            assert step["caused_by_sequence"] in sequences, step
            assert step["caused_by_sequence"] < step["event"]["sequence"]


def test_a_run_is_replayed_from_the_ledger_alone(operator: httpx.Client, approver: httpx.Client) -> None:
    run = approved_run(operator, approver, "t-again")
    steps: list[dict[str, Any]] = []
    token = ""
    while True:
        asked = {"page_size": "7", "page_token": token}
        page = operator.get(f"/api/runs/{run['run_id']}/replay", params=asked).json()
        steps += page["items"]
        token = page["next_page_token"]
        if not token:
            break
    kinds = [step["event"]["event_type"] for step in steps]
    assert kinds[-1] == "RunEnded"
    assert {"ApprovalAnswered", "DecisionsMade", "EffectIntended", "EffectsObserved"} <= set(kinds)
    assert steps[-1]["summary"].startswith("the run ended COMPLETED")
    record = operator.get("/api/approval_records", params={"run_id": run["run_id"]}).json()["items"][0]
    assert (record["state"], record["comment"]) == ("USED", "go on")
    actions = operator.get("/api/agent_actions", params={"correlation_id": run["run_id"]}).json()["items"]
    assert (actions[0]["decision"], actions[0]["success"]) == ("ALLOW", True)


def told(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and data of each server-sent event that has data."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            yield event["id"], json.loads(event["data"])
            event = {}
        else:
            event = {}


def test_a_stream_that_is_cut_goes_on_and_shows_everything_once(
    operator: httpx.Client, approver: httpx.Client
) -> None:
    run = approved_run(operator, approver, "t-watch")
    params = {"run_id": run["run_id"]}
    page = operator.get("/api/events", params=params | {"oldest_first": True, "page_size": 200}).json()
    wanted = [each["sequence"] for each in page["items"]]
    found: list[int] = []
    last = ""
    while len(found) < len(wanted):
        headers = {"Last-Event-ID": last} if last else {}
        with operator.stream(
            "GET", "/api/events/stream", params=params | {"from_start": True}, headers=headers
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for n, (event_id, event) in enumerate(told(answer.iter_lines()), 1):
                found.append(event["sequence"])
                last = event_id
                if n == 5 or len(found) == len(wanted):
                    break
    assert found == wanted
    refused = operator.get("/api/events/stream", params={"cursor": last.partition(".")[0]})
    assert (refused.status_code, refused.json()["reason"]) == (400, "CURSOR_INVALID")
    stranger = operator.get("/api/events/stream", headers={"X-API-Key": "nobody's"})
    assert stranger.status_code == 401


async def test_subscribers_read_a_run_as_json_and_others_do_not(
    running: Embedded, operator: httpx.Client, approver: httpx.Client
) -> None:
    run = approved_run(operator, approver, "t-public")
    keys = running.home / "keys" / "subscribers"
    mine = await nats.connect((keys / "default.url").read_text().strip())
    filters = f"pub.default.orchestrator.run.{run['run_id']}.>"
    reading = await mine.jetstream().subscribe(filters, stream="PUBLIC", ordered_consumer=True)
    kinds: list[str] = []
    while "provost.orchestrator.v1.RunEnded" not in kinds:
        event = json.loads((await reading.next_msg(15)).data)
        kinds.append(event["type"])
        assert event["correlationid"] == run["run_id"]
        assert (event["tenant"], event["source"]) == ("default", "provost/orchestrator")
    assert kinds[0] == "provost.orchestrator.v1.RunStarted"
    others = await nats.connect((keys / "acme.url").read_text().strip())
    for each in await others.jetstream().streams_info():
        assert each.state.messages == 0
    await mine.close()
    await others.close()


async def test_a_run_is_told_by_the_socket_and_on_the_command_line(
    running: Embedded, operator: httpx.Client, approver: httpx.Client
) -> None:
    run = approved_run(operator, approver, "t-socket")
    port = int(running.run_json()["http"].rpartition(":")[2])
    told = operator.get("/api/config").json()["websocket_url"]
    assert told == f"ws://127.0.0.1:{port}/api/events/ws"
    path = f"/api/events/ws?from_start=true&run_id={run['run_id']}"
    found: list[int] = []
    kind = ""
    async with websocket(port, path, {"X-API-Key": running.key("viewer")}) as socket:
        while kind != "RunEnded":
            message = await socket.message()
            assert message is not None
            if "event" in message:
                kind = message["event"]["event_type"]
                found.append(message["event"]["sequence"])
    program = "from provost_sdk.cli import main; main()"
    asked = ("events", "replay", "--run", run["run_id"], "--json")
    given = {"PATH": os.environ["PATH"], "PROVOST_HOME": str(running.home), "PYTHONPATH": ":".join(sys.path)}
    replaying = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *asked, env=given, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(replaying.communicate(), 60)
    assert [int(json.loads(line)["logseq"]) for line in output.splitlines()] == found
