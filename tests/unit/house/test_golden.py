"""Events are for ever: every shape one ever had is in tests/golden, and is still read as what it meant."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from chassis.eventlog.codec import Codec, Upcast, Upcasts
from chassis.eventlog.headers import Headers, block
from chassis.powers.announcing import CODEC as KEYS
from kernel.events import Recorded
from provost.orchestrator.v1 import events_pb2 as runs
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from services.gateway.wire.events import CODEC as GATEWAY
from services.ledger.domain.entry import Message as Published
from services.ledger.domain.entry import entry_of
from services.ledger.domain.facts import Revoked
from services.ledger.wire.facts import FACTS
from services.ledger.wire.understanding import kinds, understand
from services.orchestrator.domain import facts
from services.orchestrator.wire import EVENTS as ORCHESTRATOR
from services.policy.wire import CODEC as POLICY
from services.state.wire import CODEC as STATE
from tests.golden.record import HERE, UNKNOWN, events, shape, versions

CODECS: dict[str, Codec] = {
    "gateway": GATEWAY, "orchestrator": ORCHESTRATOR, "policy": POLICY, "state": STATE, "event": KEYS
}  # fmt: skip
KINDS = {descriptor.full_name: descriptor for descriptor in events()}
GOLDEN = sorted(path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.glob("*/*.bin"))


def payload_of(golden: str) -> bytes:
    return (HERE / f"{golden}.bin").read_bytes()


def meaning_of(golden: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((HERE / f"{golden}.json").read_text())["message"]
    return read


def name_of(golden: str) -> str:
    return Path(golden).parent.name


def as_json(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def recorded(name: str, payload: bytes) -> Recorded:
    _, context, _, short = name.split(".")
    subject = f"evt.default.{context}.thing.id-1.{short}"
    return Recorded(7, subject, Headers(block(f"ce-id: e-7\r\nce-type: {name}\r\n")), payload)


@pytest.mark.parametrize("name", KINDS)
def test_every_event_is_recorded_in_the_shape_it_has_now(name: str) -> None:
    assert versions(name), (
        f"{name} has no golden file: run `python -m tests.golden.record` and commit what it made"
    )
    newest = json.loads((HERE / name / f"{versions(name)[-1]}.json").read_text())
    assert newest["shape"] == shape(KINDS[name]), (
        f"{name} has changed: run `python -m tests.golden.record` and commit the new version; the old ones stay"
    )


def test_no_golden_file_is_of_nothing() -> None:
    assert {name_of(golden) for golden in GOLDEN} == set(KINDS)
    assert len(GOLDEN) == len(list(HERE.glob("*/*.json")))


@pytest.mark.parametrize("golden", GOLDEN)
def test_what_was_published_still_means_the_same(golden: str) -> None:
    payload = payload_of(golden)
    message = GetMessageClass(KINDS[name_of(golden)]).FromString(payload)
    assert as_json(message) == meaning_of(golden)
    assert message.SerializeToString(deterministic=True).endswith(UNKNOWN), "what is unknown was thrown away"


@pytest.mark.parametrize("golden", GOLDEN)
def test_every_service_that_reads_it_reads_the_same(golden: str) -> None:
    name = name_of(golden)
    readers = [codec for codec in CODECS.values() if name.rpartition(".")[2] in codec.event_types]
    assert readers or name == "provost.ledger.v1.SubjectErased", f"nobody reads {name}"
    for codec in readers:
        event = codec.decode(recorded(name, payload_of(golden)))
        event = getattr(event, "event", event)  # state hands its events out with their sequence
        try:
            _, full, payload = codec.encode(event)
        except TypeError:
            continue  # another service's event, of which only a part is kept
        meant = ParseDict(meaning_of(golden), GetMessageClass(KINDS[name])())
        assert as_json(GetMessageClass(KINDS[full]).FromString(payload)) == as_json(meant)


@pytest.mark.parametrize("golden", GOLDEN)
def test_the_ledger_understands_it(golden: str) -> None:
    name = name_of(golden)
    given = recorded(name, payload_of(golden))
    found = understand(entry_of(Published(7, given.subject, block(f"ce-type: {name}\r\n"), given.payload)))
    kind = GetMessageClass(KINDS[name])
    assert (found.fact is not None) == (
        kind in FACTS and FACTS[kind](kind.FromString(given.payload)) is not None
    )


# One that is only here: in a run from before `entered` was known, what ended it led to EXIT.
def _entered(old: runs.RunEnded) -> runs.RunEnded:
    new = runs.RunEnded()
    new.CopyFrom(old)
    new.entered.phase = orchestrator_pb2.PHASE_EXIT
    return new


def test_an_older_version_comes_out_upcast_for_a_service() -> None:
    known: dict[type, type[Message]] = {facts.RunEnded: runs.RunEnded}
    step = Upcast(runs.RunEnded, runs.RunEnded, _entered, applies=lambda old: not old.HasField("entered"))
    plain, upcasting = Codec(known), Codec(known, upcasts=Upcasts(step))
    name = "provost.orchestrator.v1.RunEnded"
    old, new = recorded(name, payload_of(f"{name}/1")), recorded(name, payload_of(f"{name}/2"))
    assert plain.decode(old).entered is None  # type: ignore[attr-defined]
    assert upcasting.decode(old).entered.phase == "EXIT"  # type: ignore[attr-defined]
    assert upcasting.decode(new) == plain.decode(new)


def test_an_older_message_comes_out_upcast_for_the_ledger() -> None:
    # As if agents had once been revoked by the event that is AgentSecretCreated today.
    def revoked(old: policy.AgentSecretCreated) -> policy.AgentRevoked:
        return policy.AgentRevoked(agent_id=old.agent_id, at=old.at)

    upcasts = Upcasts(Upcast(policy.AgentSecretCreated, policy.AgentRevoked, revoked))
    kind = dict(kinds(upcasts))["policy", "AgentSecretCreated"]
    name = "provost.policy.v1.AgentSecretCreated"
    message = kind.parse(payload_of(f"{name}/1"))
    assert kind.fact is not None
    fact = kind.fact(message)
    assert isinstance(fact, Revoked)
    assert fact.agent_id == meaning_of(f"{name}/1")["agent_id"]
    assert kind.agents(message) == (fact.agent_id,)
