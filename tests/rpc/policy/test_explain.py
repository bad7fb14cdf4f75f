"""Explain says what Authorize would, what was looked at, and leaves no trace; labels and steps are looked at."""

import pytest

from kernel.faults import Denied, Invalid, NotFound
from provost.policy.v1 import policy_pb2 as pb
from provost.state.v1 import events_pb2 as state_events_pb2
from provost.state.v1 import state_pb2
from tests.rpc.policy.conftest import Running, action, context


async def explained(running: Running, **fields: object) -> pb.ExplainResponse:
    roles = fields.pop("roles", ("viewer",))
    request = pb.ExplainRequest(**({"context": context(), "action": action()} | fields))  # type: ignore[arg-type]
    answer: pb.ExplainResponse = await running.call("Explain", request, actor="key:v", roles=roles)  # type: ignore[arg-type]
    return answer


async def ready(running: Running) -> None:
    await running.register()
    await running.packet()


CASES = [
    (context(), action()),
    (context(mode=pb.MODE_SAFE), action()),
    (context(mode=pb.MODE_ASSISTED), action()),
    (context(), action("service.restart")),
    (context(), action("rm.all")),
    (context("nobody"), action()),
    (context(task_id="task-2"), action()),
]


@pytest.mark.parametrize(("run", "asked"), CASES)
async def test_it_says_what_authorize_says_and_nothing_is_written(
    running: Running, run: pb.RunContext, asked: pb.Action
) -> None:
    await ready(running)
    before = await running.log.last_sequence()
    said = await explained(running, context=run, action=asked)
    assert await running.log.last_sequence() == before
    request = pb.AuthorizeRequest(context=run, action=asked)
    decided = (await running.call("Authorize", request)).decision
    for each in (said.decision, decided):
        each.ClearField("decision_id")
        each.ClearField("permit")
        each.ClearField("permit_expire_time")
    assert list(said.decision.changes)[: len(decided.changes)] == list(decided.changes)
    for each in (said.decision, decided):
        each.ClearField("changes")
    assert said.decision == decided
    assert said.position >= before


async def test_without_a_task_it_is_that_of_the_agents_packet(running: Running) -> None:
    await running.register()
    without = (await explained(running, context=context(task_id=""))).decision
    assert without.reason == "NO_PACKET"
    assert without.explanation.startswith("'sre-1' has no instruction packet: ")
    await running.packet()
    said = await explained(running, context=context(task_id=""))
    assert said.decision.verdict == pb.VERDICT_ALLOW
    assert said.decision == (await explained(running)).decision
    other = (await explained(running, context=context(task_id="none"))).decision
    assert other.reason == "NO_PACKET"
    with pytest.raises(Invalid, match="task_id"):
        await running.call(
            "Authorize", pb.AuthorizeRequest(context=context(task_id=""), action=action("disk.check"))
        )


async def test_everything_that_was_looked_at_is_told_in_order(running: Running) -> None:
    await ready(running)
    said = await explained(running, action=action("service.restart"))
    assert [each.passed for each in said.checks] == [True] * (len(said.checks) - 1) + [False]
    rules = [each.rule for each in said.checks]
    assert rules[0] == "agent.known"
    assert rules.index("packet.scope") < rules.index("budget") < rules.index("tier.T1_OPERATOR")
    assert [(each.what, each.to, each.by) for each in said.decision.changes] == [
        ("tier", "T2_BUILDER", "admin")
    ]


async def test_another_tier_can_be_tried(running: Running) -> None:
    await ready(running)
    said = await explained(running, action=action("service.restart"), tier=pb.TIER_T2_BUILDER)
    assert (said.decision.verdict, said.decision.tier) == (pb.VERDICT_ALLOW, pb.TIER_T2_BUILDER)
    assert said.decision.permit == ""


async def test_a_version_that_never_was_is_named(running: Running) -> None:
    await ready(running)
    with pytest.raises(NotFound) as unknown:
        await explained(running, policy_version="99")
    assert unknown.value.reason == "POLICY_SET_UNKNOWN"


async def test_what_cannot_be_understood_is_refused(running: Running) -> None:
    await ready(running)
    with pytest.raises(Invalid):
        await explained(running, cost=pb.Amounts(tokens=-1))
    with pytest.raises(Denied):
        await explained(running, roles=())


async def test_required_steps_count_from_services_alone(running: Running) -> None:
    await running.register()
    constraints = state_pb2.Constraints(required_steps=["PLAN"])
    packet = state_pb2.Packet(agent_id="sre-1", task_id="task-1", constraints=constraints)
    headers = b"NATS/1.0\r\nce-type: provost.state.v1.PacketIssued\r\n\r\n"
    event = state_events_pb2.PacketIssued(packet=packet).SerializeToString()
    sequence = running.log.put("evt.default.state.agent.sre-1.PacketIssued", event, headers)
    await running.follower.reached(sequence)
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    session = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    token = (await running.call("CreateSession", session)).session_token
    reasons = []
    for steps, who in (
        ((), {}),
        (("PLAN",), {}),
        (("PLAN",), {"actor": "key:agent", "roles": ("operator",)}),
    ):
        request = pb.AuthorizeRequest(context=context(steps_done=steps), action=action(), session_token=token)
        decision = (await running.call("Authorize", request, **who)).decision  # type: ignore[arg-type]
        reasons.append(decision.reason)
    assert reasons == ["REQUIRED_STEP_SKIPPED", "ALLOWED_BY_TIER", "REQUIRED_STEP_SKIPPED"]
    assert [list(each.steps_done) for each in await running.decisions()] == [[], ["PLAN"], []]


async def test_labels_of_the_run_are_kept_with_the_decision(running: Running) -> None:
    await ready(running)
    headers = b"NATS/1.0\r\nce-type: provost.state.v1.RunLabelled\r\n\r\n"
    for run_id, label in (("run-1", "secret"), ("run-1", "pii"), ("run-2", "other")):
        event = state_events_pb2.RunLabelled(agent_id="sre-1", run_id=run_id, labels=[label])
        sequence = running.log.put(
            "evt.default.state.agent.sre-1.RunLabelled", event.SerializeToString(), headers
        )
    await running.follower.reached(sequence)
    await running.call("Authorize", pb.AuthorizeRequest(context=context(), action=action()))
    (record,) = await running.decisions()
    assert list(record.labels) == ["pii", "secret"]


async def test_a_suspended_agent_gets_nothing_until_it_is_resumed(running: Running) -> None:
    await ready(running)
    ask = pb.AuthorizeRequest(context=context(), action=action())
    await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1", why="odd"))
    refused = (
        await running.call("Authorize", pb.AuthorizeRequest.FromString(ask.SerializeToString()))
    ).decision
    assert (refused.reason, refused.changes[0].to) == ("AGENT_SUSPENDED", "resumed")
    await running.call(
        "ResumeAgent", pb.ResumeAgentRequest(agent_id="sre-1"), actor="key:admin", roles=("admin",)
    )
    assert (await running.call("Authorize", ask)).decision.reason == "ALLOWED_BY_TIER"


async def test_an_older_set_can_be_asked(running: Running) -> None:
    await ready(running)
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    document, _, _ = shown.document.partition("\ntests:")
    document = document.replace('version: "1"', 'version: "2"').replace(
        "environments: [production]\n", "environments: [production, sandbox]\n"
    )
    publish = pb.PublishPolicySetRequest(document=document, replaces_version="1")
    await running.call("PublishPolicySet", publish)
    now, before = await explained(running), await explained(running, policy_version="1")
    assert (now.decision.verdict, now.decision.policy_version) == (pb.VERDICT_NEEDS_APPROVAL, "2")
    assert now.decision.changes[0].what == "approval"
    assert (before.decision.verdict, before.decision.policy_version) == (pb.VERDICT_ALLOW, "1")


def labelled(running: Running, payload: bytes | None = None) -> int:
    """As state would announce that the run has read something secret."""
    event = state_events_pb2.RunLabelled(agent_id="sre-1", run_id="run-1", labels=["secret"])
    headers = b"NATS/1.0\r\nce-type: provost.state.v1.RunLabelled\r\n\r\n"
    subject = "evt.default.state.agent.sre-1.RunLabelled"
    return running.log.put(subject, event.SerializeToString() if payload is None else payload, headers)


async def test_what_a_run_has_read_decides_where_it_may_not_go(running: Running) -> None:
    await running.register(tier=pb.TIER_T4_ARCHITECT)
    await running.packet()
    asked = action("hardware.replace")
    assert (await explained(running, action=asked)).decision.verdict == pb.VERDICT_NEEDS_APPROVAL
    await running.follower.reached(labelled(running))
    decision = (
        await running.call("Authorize", pb.AuthorizeRequest(context=context(), action=asked))
    ).decision
    assert (decision.reason, decision.rule) == ("FLOW_DENIED", "flow.secrets-stay")
    assert [(each.what, each.to) for each in decision.changes] == [("labels", "a run without secret")]
    other = context(run_id="run-2")
    assert (await explained(running, context=other, action=asked)).decision.reason == "APPROVAL_REQUIRED"


async def test_an_agent_cannot_shed_labels_by_naming_another_run(running: Running) -> None:
    await running.register(tier=pb.TIER_T4_ARCHITECT)
    await running.packet()
    await running.follower.reached(labelled(running))
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    session = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    token = (await running.call("CreateSession", session)).session_token
    request = pb.AuthorizeRequest(
        context=context(run_id="run-2"), action=action("hardware.replace"), session_token=token
    )
    decision = (await running.call("Authorize", request, actor="key:agent", roles=("operator",))).decision
    assert decision.reason == "FLOW_DENIED"


async def test_labels_that_cannot_be_read_may_be_any(running: Running) -> None:
    await running.register(tier=pb.TIER_T4_ARCHITECT)
    await running.packet()
    await running.follower.reached(labelled(running, b"\xff"))
    await running.follower.reached(labelled(running))
    said = await explained(running, action=action("hardware.replace"))
    assert said.decision.reason == "FLOW_DENIED"
    assert "cannot be read" in said.decision.explanation
