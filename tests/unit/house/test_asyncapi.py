"""docs/asyncapi.yaml is what the protos and docs/events.md say, is AsyncAPI 3.0, and is true of every event there was.

The schema is AsyncAPI's own (@asyncapi/specs 6.11.1, Apache-2.0), without bindings and descriptions.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from services.ledger.asyncapi.document import CONTEXTS, document, rendered
from services.ledger.wire.cloudevents import cloudevent, public_subject
from tests.unit.house.skeleton import REPOSITORY

GOLDEN = sorted((REPOSITORY / "tests" / "golden").glob("*/*.bin"))
SCHEMA = REPOSITORY / "tests" / "vectors" / "asyncapi-3.0.0.schema.json"


@cache
def told() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(document()))
    return made


def refs(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from refs(each)
    elif isinstance(part, list):
        for each in part:
            yield from refs(each)


def resolved(ref: str) -> Any:
    found: Any = told()
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_it_is_committed_as_it_is_made() -> None:
    assert (REPOSITORY / "docs" / "asyncapi.yaml").read_text() == rendered(), "run make gen, and commit"


def test_it_is_asyncapi() -> None:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [
        f"{list(each.absolute_path)}: {each.message[:200]}" for each in validator.iter_errors(told())
    ] == []
    broken = told() | {"channels": {"x": {"address": 7}}}
    assert not validator.is_valid(broken)


def test_all_that_is_referred_to_is_there() -> None:
    for ref in set(refs(told())):
        assert resolved(ref) is not None


def test_every_channel_is_used_and_has_its_parameters() -> None:
    used = {each["channel"]["$ref"].rpartition("/")[2] for each in told()["operations"].values()}
    assert used == set(told()["channels"])
    for channel in told()["channels"].values():
        assert set(channel.get("parameters", ())) == {
            part.strip("{}") for part in channel["address"].split(".") if part.startswith("{")
        }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_event_has_its_channels_and_its_json_is_what_they_say(path: Path) -> None:
    kind = path.parent.name
    mine = {
        name: each
        for name, each in told()["channels"].items()
        if {"$ref": f"#/components/messages/{kind}"} in each["messages"].values()
    }
    assert mine, f"{kind} has no channel"
    for name, channel in mine.items():
        public = told()["channels"][f"{name}.json"]
        assert public["address"] == public_subject(channel["address"])
        message = resolved(next(iter(public["messages"].values()))["$ref"])
        schema = {**message["payload"], "components": told()["components"]}
        subject = (
            channel["address"]
            .replace("{service}", CONTEXTS[0])
            .replace("{tenant}", "acme")
            .replace("{id}", "i")
        )
        headers = {"ce-id": "i", "ce-type": kind, "ce-source": "provost/x", "ce-subject": "a/b"}
        event = json.loads(cloudevent(1, subject, headers, path.read_bytes()))
        validator = Draft7Validator(schema)
        assert [each.message for each in validator.iter_errors(event)] == []
        assert not validator.is_valid({**event, "type": "another"})
        assert not validator.is_valid({**event, "data": "text"})
