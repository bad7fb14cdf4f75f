"""Every text of every event is said to be personal, or said here not to be, and why: so that nobody forgets."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from chassis.personal import is_personal

PROTOS = Path(__file__).parents[3] / "protos" / "provost"

IDS = "ids, digests, codes and versions: made by us, or names of agents, tasks and keys, which are pseudonyms"
PEOPLE = "the labels of keys: pseudonyms of those who operate, who answer for what they did (docs/erasure.md)"
PATTERNS = (
    "what an operator allows or demands: patterns and names, told in the clear to whoever has to keep to it"
)
CLASSES = "one of a few words that programs switch on"
ADDRESS = (
    "where somebody came from who was turned away at the door: no subject's, and told in docs/erasure.md"
)
OURS = "a sentence of ours, of counts and names alone"
OPERATED = "what those who operate say of agents: there is no subject here, and they name nobody"
STRAIGHT = "written straight to state by whoever works with it: kept as it came (docs/erasure.md)"
SEALED = "sealed already, under the key of the run it is about"

# By the end of the full name. An event that is not of a run has no subject; what people write there names nobody.
NOT_PERSONAL = {
    IDS: """agent_id task_id run_id session_id role_id secret_hash SessionCreated.accessor
        wrapping_id token_hash decision_id action_id action_digest approval_id
        approval_ids effect_id reservation_id budget_id scope_id subject_key subject_id key_id report_sha256
        artifact_sha256 Artifact.sha256
        Artifact.name Artifact.media_type holder rule policy_version agent_version evidence_id evidence version
        PolicySetPublished.document to_version from_version previous_agent_id parent_agent_id run_ids
        Handoff.artifacts last_run_id
        Refusal.method PastAction.name
        with_agent_ids from_agent_id to_agent_id recipients passed_over message_id message_ids in_reply_to
        PowerLost.surface PowerLost.service PowerLost.replica PowerLost.statement RevocationReceipt.silent
        RevocationReceipt.children RevocationReceipt.signature
        Entry.author state_hash""",
    PEOPLE: "requested_by registered_by approvers by created_for Refusal.actor",
    OPERATED: """Grounds.why AgentSuspended.why AgentResumed.why BudgetSet.why PolicySetPublished.why
        PolicySetRolledBack.why""",
    PATTERNS: """Constraints.scope Constraints.forbidden Constraints.required_steps constraints_reminder deliverables
        success_criteria escalation_rules environment obligations Action.name labels LabelNames.names by_reading
        steps_done""",
    CLASSES: """Change.what reason kind phase step error_type cause severity RevocationReason.type last_reason
        Entry.section Entry.key Message.type Check.name LastKnownState.phase LastKnownState.step permit""",
    ADDRESS: "Refusal.peer",
    OURS: "Change.to AgentRevoked.details RevocationReason.details",
    STRAIGHT: "Entry.value Message.body Checkpoint.note Waiting.what",
    SEALED: "last_outcome",
}


def events() -> Iterator[Descriptor]:
    for path in sorted(PROTOS.glob("*/v1/events.proto")):
        module: Any = importlib.import_module(f"provost.{path.parts[-3]}.v1.events_pb2")
        yield from module.DESCRIPTOR.message_types_by_name.values()


def texts(message: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    """Every text in a message or in what it holds; of a map, its values."""
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        inner: Any = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING:
            yield field
        elif inner is not None and inner.GetOptions().map_entry:
            value = inner.fields_by_name["value"]
            if value.type == FieldDescriptor.TYPE_STRING:
                yield field
        elif inner is not None:
            yield from texts(inner, seen)


def declared(field: FieldDescriptor) -> bool:
    listed = {name for names in NOT_PERSONAL.values() for name in names.split()}
    short = field.full_name.split(".")
    return is_personal(field) or short[-1] in listed or ".".join(short[-2:]) in listed


def test_every_text_of_every_event_is_declared() -> None:
    seen: set[str] = set()
    missing = [field.full_name for event in events() for field in texts(event, seen) if not declared(field)]
    assert not missing, f"personal or not? say so in the proto, or here: {missing}"


def test_what_is_listed_here_exists_and_is_not_personal_as_well() -> None:
    seen: set[str] = set()
    found = [field for event in events() for field in texts(event, seen)]
    names = {field.full_name.split(".")[-1] for field in found if not is_personal(field)}
    names |= {".".join(field.full_name.split(".")[-2:]) for field in found if not is_personal(field)}
    gone = {name for listed in NOT_PERSONAL.values() for name in listed.split()} - names
    assert not gone, f"not in any event, or personal: {gone}"
