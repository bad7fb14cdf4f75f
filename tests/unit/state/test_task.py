"""Artifacts and handoffs."""

from dataclasses import replace

import pytest

from kernel.faults import Fault
from services.state.domain.growing import Growing
from services.state.domain.task import (
    MAX_ARTIFACTS,
    TASK,
    Artifact,
    ArtifactStored,
    Handoff,
    HandoffWritten,
    StoreArtifact,
    Task,
    WriteHandoff,
    decide,
    evolve,
    find,
)
from tests.unit.state.worlds import T0, artifact, at, handoff


def test_an_artifact_is_stored_once_per_content_name_and_run() -> None:
    event = decide(Task(), StoreArtifact(artifact()))
    assert event == ArtifactStored(artifact())
    task = evolve(Task(), event)
    assert decide(task, StoreArtifact(replace(artifact(), at=at(9)))) is None
    assert find(task, replace(artifact(), at=at(9))) == artifact()
    for other in (artifact(name="b"), artifact(content="c"), artifact(run_id="run-2")):
        assert decide(task, StoreArtifact(other)) == ArtifactStored(other)


def test_a_task_has_so_many_artifacts_and_no_more() -> None:
    task = Task(Growing(artifact(name=str(n)) for n in range(MAX_ARTIFACTS)))
    assert decide(task, StoreArtifact(artifact(name="7"))) is None, "it has that one"
    with pytest.raises(Fault) as caught:
        decide(task, StoreArtifact(artifact(name="another")))
    assert caught.value.reason == "ARTIFACTS_FULL"


def test_the_latest_handoff_counts() -> None:
    later = replace(handoff(), blocking_issue="another")
    task = TASK.fold([HandoffWritten(handoff(), T0), HandoffWritten(later, at(1))])
    assert task.handoff == HandoffWritten(later, at(1))


@pytest.mark.parametrize(
    ("field", "unsound"),
    [
        ("sha256", replace(artifact(), sha256="../../etc/passwd")),
        ("sha256", replace(artifact(), sha256="A" * 64)),
        ("task_id", replace(artifact(), task_id="a/b")),
        ("name", replace(artifact(), name="")),
        ("name", replace(artifact(), name="a\nb")),
        ("name", replace(artifact(), name="x" * 201)),
        ("media_type", replace(artifact(), media_type="text")),
        ("media_type", replace(artifact(), media_type="text/html\r\nx: y")),
    ],
)
def test_an_artifact_out_of_bounds_names_the_field(field: str, unsound: Artifact) -> None:
    with pytest.raises(Fault) as caught:
        decide(Task(), StoreArtifact(unsound))
    assert (caught.value.reason, caught.value.facts["field"]) in {
        ("FIELD_INVALID", field),
        ("MALFORMED_ID", field),
    }


@pytest.mark.parametrize(
    ("field", "unsound"),
    [
        ("handoff.task_id", replace(handoff(), task_id="")),
        ("handoff.previous_agent_id", replace(handoff(), previous_agent_id="x" * 65)),
        ("handoff.artifacts", replace(handoff(), artifacts=("nope",))),
    ],
)
def test_a_handoff_out_of_bounds_names_the_field(field: str, unsound: Handoff) -> None:
    with pytest.raises(Fault) as caught:
        decide(Task(), WriteHandoff(unsound, T0))
    assert caught.value.facts["field"] == field


def test_a_handoff_that_is_too_long_is_cut_so_that_the_next_agent_has_one() -> None:
    long = replace(
        handoff(),
        blocking_issue="x" * 5000,
        what_was_tried=tuple(f"t{n}" for n in range(200)),
        required_next_actions=("", "y" * 5000, " "),
    )
    event = decide(Task(), WriteHandoff(long, T0))
    assert isinstance(event, HandoffWritten)
    written = event.handoff
    assert written.blocking_issue == "x" * 999 + "…"
    assert written.what_was_tried == long.what_was_tried[:64]
    assert written.required_next_actions == ("y" * 999 + "…",)
    assert decide(Task(), WriteHandoff(handoff(), T0)) == HandoffWritten(handoff(), T0)
