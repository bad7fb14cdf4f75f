"""The JSON form of every event there ever was: valid CloudEvents, nothing left out, nothing opened."""

import json
from pathlib import Path

import pytest

from services.ledger.wire.cloudevents import cloudevent, public_subject

GOLDEN = sorted(Path(__file__).parents[2].glob("golden/*/*.bin"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_golden_event_has_a_json_form(path: Path) -> None:
    kind = path.parent.name
    subject = f"evt.acme.{kind.split('.')[1]}.thing.id.{kind.rpartition('.')[2]}"
    headers = {"ce-id": "id", "ce-type": kind, "ce-source": "provost/x", "ce-time": "2026-01-02T03:04:05Z"}
    event = json.loads(cloudevent(7, subject, headers, path.read_bytes()))
    assert (event["specversion"], event["id"], event["type"]) == ("1.0", "id", kind)
    assert event["datacontenttype"] == "application/json"
    assert event["data"]
    assert all(
        name.isascii() and name.isalnum() and name.islower() for name in event if name != "data_base64"
    )


def test_what_is_sealed_stays_sealed() -> None:
    from provost.orchestrator.v1.events_pb2 import RunStarted

    sealed = "sealed:v1:0123456789abcdef-0123:QUJD"
    payload = RunStarted(run_id="r", objective=sealed).SerializeToString()
    event = json.loads(
        cloudevent(
            1,
            "evt.t.orchestrator.run.r.RunStarted",
            {"ce-type": "provost.orchestrator.v1.RunStarted"},
            payload,
        )
    )
    assert event["data"]["objective"] == sealed


def test_headers_cannot_replace_what_is_ours() -> None:
    headers = {
        "ce-id": "i",
        "ce-data": "x",
        "ce-tenant": "other",
        "ce-logseq": "9",
        "ce-Bad_Name": "y",
        "ce-specversion": "7",
    }
    event = json.loads(cloudevent(3, "evt.acme.a.b.c.D", headers, b""))
    assert (event["tenant"], event["logseq"], event["specversion"]) == ("acme", "3", "1.0")
    assert "Bad_Name" not in event
    assert "data" not in event


def test_the_subject_is_the_same_but_for_its_first_word() -> None:
    assert public_subject("evt.acme.policy.agent.a.AgentRevoked") == "pub.acme.policy.agent.a.AgentRevoked"
