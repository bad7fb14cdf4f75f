"""What policy writes down of a run that has a subject is sealed, and nothing else changes by it."""

from typing import Any

import pytest

from kernel.faults import Refused
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Running, action, context


async def test_under_a_subjects_key_decisions_are_written_down_sealed(running: Running) -> None:
    await running.register()
    sequence = await running.packet()
    seal = await running.keys.of_subject("default", "alice")
    asked = action(target="203.0.113.77", parameters={"user": "zyxcanary"})
    under = context(at_least_sequence=sequence, subject_key=seal.key_id)
    request = pb.AuthorizeRequest(context=under, action=asked)
    answer = await running.call("Authorize", request)
    assert answer.decision.verdict == pb.VERDICT_ALLOW
    (kept,) = await running.decisions()
    assert "203.0.113.77" not in str(kept)
    assert "zyxcanary" not in str(kept)
    assert seal.open(kept.action.target) == "203.0.113.77"
    assert seal.open(kept.action.parameters["user"]) == "zyxcanary"
    assert seal.open(kept.explanation) == answer.decision.explanation
    assert kept.action_digest == answer.decision.action_digest
    assert kept.action_digest.startswith("hmac-sha256:"), "a plain one could be guessed"
    # Another subject, another digest; a subject that is gone, no decision.
    other = await running.keys.of_subject("default", "bob")
    request = pb.AuthorizeRequest(context=context(subject_key=other.key_id), action=asked)
    assert (await running.call("Authorize", request)).decision.action_digest != kept.action_digest
    running.keys.erase("default", seal.key_id)
    with pytest.raises(Refused, match="erased") as refused:
        await running.call("Authorize", pb.AuthorizeRequest(context=under, action=asked))
    assert refused.value.reason == "SUBJECT_ERASED"


async def test_an_approval_under_a_subjects_key_is_shown_opened_and_used_once(running: Running) -> None:
    await running.register()
    sequence = await running.packet()
    seal = await running.keys.of_subject("default", "alice")
    asked = action("ansible.check", target="203.0.113.77")
    under = context(mode=pb.MODE_ASSISTED, at_least_sequence=sequence, subject_key=seal.key_id)
    first = (await running.call("Authorize", pb.AuthorizeRequest(context=under, action=asked))).decision
    assert first.verdict == pb.VERDICT_NEEDS_APPROVAL
    request = pb.RequestApprovalRequest(
        context=under, action=asked, action_digest=first.action_digest, why="zyxcanary", requested_by="key:op"
    )
    approval_id = (await running.call("RequestApproval", request)).approval.approval_id
    person: dict[str, Any] = {"actor": "key:boss", "roles": ("approver",)}
    answer = pb.AnswerApprovalRequest(approval_id=approval_id, approve=True, comment="quuxcanary")
    shown = (await running.call("AnswerApproval", answer, **person)).approval
    assert (shown.action.target, shown.why, shown.comment) == ("203.0.113.77", "zyxcanary", "quuxcanary")
    again = pb.AuthorizeRequest(context=under, action=asked, approval_id=approval_id)
    assert (await running.call("Authorize", again)).decision.verdict == pb.VERDICT_ALLOW
    written = b"".join(each.payload for each in running.log.recorded())
    assert not any(each in written for each in (b"203.0.113.77", b"zyxcanary", b"quuxcanary"))
    running.keys.erase("default", seal.key_id)
    shown = (
        await running.call("GetApproval", pb.GetApprovalRequest(approval_id=approval_id), **person)
    ).approval
    assert (shown.action.target, shown.why, shown.comment) == ("[erased]",) * 3
