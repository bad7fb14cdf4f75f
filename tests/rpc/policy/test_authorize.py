"""Authorize over gRPC: every answer explains itself, is durable, and carries a permit only where something may act."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.eventlog.follower import Follower
from chassis.signing import Verifier, public_key
from kernel.faults import Denied, Exhausted, Invalid, Unauthenticated, Unavailable
from provost.policy.v1 import policy_pb2 as pb
from services.policy.adapters.signing import digest_of
from services.policy.domain.action import Action
from tests.rpc.policy.conftest import Running, action, context


def ask(**fields: object) -> pb.AuthorizeRequest:
    return pb.AuthorizeRequest(**({"context": context(), "action": action()} | fields))  # type: ignore[arg-type]


async def decided(running: Running, request: pb.AuthorizeRequest, **who: object) -> pb.Decision:
    answer = await running.call("Authorize", request, **who)  # type: ignore[arg-type]
    decision: pb.Decision = answer.decision
    return decision


async def ready(running: Running, tier: int = pb.TIER_T1_OPERATOR) -> None:
    await running.register(tier=tier)
    await running.packet()


def claims_of(running: Running, permit: str) -> dict[str, object]:
    key = running.signer._key.public_jwk()
    return dict(Verifier({key["kid"]: public_key(key)}).verify(permit, "actuator", datetime.now(UTC)))


async def test_an_allowed_action_gets_a_permit_for_exactly_that(running: Running) -> None:
    await ready(running)
    answer = await running.call("Authorize", ask(action=action(parameters={"top": "5"})))
    decision = answer.decision
    assert decision.verdict == pb.VERDICT_ALLOW
    assert (decision.rule, decision.reason) == ("tier.T0_OBSERVER", "ALLOWED_BY_TIER")
    assert (decision.tier, decision.policy_version) == (pb.TIER_T1_OPERATOR, "1")
    digest = digest_of(Action("other", "diagnostics.memory", "localhost", "sandbox", {"top": "5"}))
    assert decision.action_digest == digest
    claims = claims_of(running, decision.permit)
    expected = {
        "decision_id": decision.decision_id, "action_digest": digest, "tenant": "default", "run_id": "run-1",
        "task_id": "task-1", "agent_id": "sre-1", "fencing_token": 1,
    }  # fmt: skip
    assert {name: claims[name] for name in expected} == expected
    left = decision.permit_expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


async def test_a_decision_is_in_the_log_before_it_is_answered_and_no_permit_with_it(running: Running) -> None:
    await ready(running)
    answer = await running.call("Authorize", ask())
    (record,) = await running.decisions()
    decision = answer.decision
    assert record.decision_id == decision.decision_id
    assert (record.verdict, record.reason, record.rule) == (decision.verdict, decision.reason, decision.rule)
    assert (record.explanation, record.action_digest) == (decision.explanation, decision.action_digest)
    assert (record.agent_id, record.run_id, record.task_id) == ("sre-1", "run-1", "task-1")
    assert (record.mode, record.agent_version, record.action.name) == (
        pb.MODE_AUTO,
        "1.0",
        "diagnostics.memory",
    )
    assert answer.sequence == await running.log.last_sequence()
    assert decision.permit.encode() not in record.SerializeToString()


async def test_a_safe_run_gets_no_permit(running: Running) -> None:
    await ready(running)
    decision = await decided(running, ask(context=context(mode=pb.MODE_SAFE)))
    assert (decision.verdict, decision.reason) == (pb.VERDICT_ALLOW, "ALLOWED_DRY_RUN")
    assert list(decision.obligations) == ["dry_run"]
    assert decision.permit == ""


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ask(context=context("nobody")), "AGENT_UNKNOWN"),
        (ask(context=context(task_id="task-2")), "NO_PACKET"),
        (ask(action=action("service.restart")), "TIER_TOO_LOW"),
        (ask(action=action("rm.all")), "ACTION_UNKNOWN"),
        (ask(action=action(environment="moon")), "ENVIRONMENT_NOT_ALLOWED"),
        (ask(context=context(mode=pb.MODE_UNSPECIFIED)), "MODE_UNKNOWN"),
    ],
)
async def test_a_refusal_is_an_answer_and_on_record(
    running: Running, request_: pb.AuthorizeRequest, reason: str
) -> None:
    await ready(running)
    decision = await decided(running, request_)
    assert (decision.verdict, decision.reason, decision.permit) == (pb.VERDICT_DENY, reason, "")
    assert decision.explanation
    (record,) = await running.decisions()
    assert (record.decision_id, record.reason) == (decision.decision_id, reason)


async def test_the_packet_binds(running: Running) -> None:
    await running.register()
    sequence = await running.packet(scope=["diagnostics.*"], forbidden=["*.disk"])
    at_least = context(at_least_sequence=sequence)
    assert (await decided(running, ask(context=at_least))).reason == "ALLOWED_BY_TIER"
    assert (await decided(running, ask(action=action("diagnostics.disk")))).reason == "FORBIDDEN_BY_PACKET"
    assert (await decided(running, ask(action=action("ansible.check")))).reason == "OUT_OF_SCOPE"


async def test_another_tenants_agent_is_unknown_here(running: Running) -> None:
    await ready(running)
    decision = await decided(running, ask(), tenant="other")
    assert decision.reason == "AGENT_UNKNOWN"
    assert await running.decisions() == []
    (record,) = await running.decisions("other")
    assert record.reason == "AGENT_UNKNOWN"


async def test_a_revoked_agent_gets_nothing(running: Running) -> None:
    await ready(running)
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator"))
    assert (await decided(running, ask())).reason == "AGENT_REVOKED"


async def test_revoked_while_the_decision_was_being_written(running: Running) -> None:
    await ready(running)
    append = running.log.append

    async def and_revoke(stream: Any, events: Any, **rest: Any) -> Any:
        appended = await append(stream, events, **rest)
        if stream.aggregate == "decisions":
            running.log.append = append  # type: ignore[method-assign]
            await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
        return appended

    running.log.append = and_revoke  # type: ignore[method-assign]
    decision = await decided(running, ask())
    assert (decision.verdict, decision.reason, decision.permit) == (pb.VERDICT_DENY, "AGENT_REVOKED", "")
    allowed, refused = await running.decisions()
    assert (allowed.verdict, refused.verdict) == (pb.VERDICT_ALLOW, pb.VERDICT_DENY)
    assert decision.decision_id == refused.decision_id != allowed.decision_id


async def test_the_same_request_gives_the_same_decision(running: Running) -> None:
    await ready(running)
    first = await decided(running, ask(request_id="once"))
    again = await decided(running, ask(request_id="once"))
    assert again == first
    assert len(await running.decisions()) == 1
    other = await decided(running, ask(request_id="once", action=action("diagnostics.disk")))
    assert other.decision_id != first.decision_id


async def test_the_same_batch_is_answered_alike_refusals_and_all(running: Running) -> None:
    await ready(running)
    actions = [action(action_id="yes"), action("hardware.replace", action_id="no")]
    batch = pb.BatchAuthorizeRequest(request_id="once", context=context(), actions=actions)
    first, again = [(await running.call("BatchAuthorize", batch)).decisions for _ in range(2)]
    assert list(again) == list(first)
    assert first[1].changes
    assert len(await running.decisions()) == 2


async def test_a_permit_is_for_the_token_that_was_shown_with_the_request(running: Running) -> None:
    await ready(running)
    for token in (1, 2):
        asked = await decided(running, ask(request_id="once", context=context(fencing_token=token)))
        assert claims_of(running, asked.permit)["fencing_token"] == token


async def test_a_token_that_no_lock_can_bear_yet_is_refused(running: Running) -> None:
    await ready(running)
    end = await running.packet()
    for token in (2**63 - 1, 2**64 - 1, end + 1000):
        asked = await decided(running, ask(context=context(fencing_token=token)))
        assert (asked.verdict, asked.reason) == (pb.VERDICT_DENY, "FENCING_TOKEN_STALE")
        assert not asked.permit
    assert {each.verdict for each in (await running.decisions())[-1:]} == {pb.VERDICT_DENY}


async def test_a_lock_that_is_in_the_log_and_not_known_here_yet_is_no_decision_to_put_on_record(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it one when nobody says where the log ends."""
    await ready(running)
    token = await running.packet()
    monkeypatch.setattr(Follower, "position", property(lambda _: token - 1))

    async def behind(*_: object) -> None:
        raise Unavailable("FOLLOWER_BEHIND", "not yet")

    async def away() -> int:
        raise Unavailable("LOG_UNREACHABLE", "no answer")

    monkeypatch.setattr(running.follower, "reached", behind)
    locked = ask(context=context(fencing_token=token))
    with pytest.raises(Unavailable) as later:
        await decided(running, locked)
    assert later.value.reason == "FOLLOWER_BEHIND"
    made_up = ask(context=context(fencing_token=token + 1))
    with monkeypatch.context() as cut_off:
        cut_off.setattr(running.log, "last_sequence", away)
        with pytest.raises(Unavailable) as unknown:
            await decided(running, made_up)
    assert unknown.value.reason == "LOG_UNREACHABLE"
    assert await running.decisions() == []
    assert (await decided(running, made_up)).reason == "FENCING_TOKEN_STALE"
    monkeypatch.undo()
    assert (await decided(running, locked)).verdict == pb.VERDICT_ALLOW


async def test_sent_again_under_a_newer_lock_it_is_answered(running: Running) -> None:
    """The decision stands before that lock in the log, and whoever carries the run on is to get it all the same."""
    await ready(running)
    first = await decided(running, ask(request_id="once"))
    newer = await running.packet()
    again = await decided(running, ask(request_id="once", context=context(fencing_token=newer)))
    assert again.decision_id == first.decision_id
    assert claims_of(running, again.permit)["fencing_token"] == newer


async def test_a_remembered_answer_does_not_outlive_the_agent(running: Running) -> None:
    await ready(running)
    first = await decided(running, ask(request_id="once"))
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1"))
    again = await decided(running, ask(request_id="once"))
    assert again.verdict == pb.VERDICT_DENY
    assert again.decision_id != first.decision_id  # one id, one verdict


async def test_a_batch_is_one_event(running: Running) -> None:
    await ready(running)
    actions = [action(action_id=f"a{n}", parameters={"n": str(n)}) for n in range(999)]
    actions.append(action("hardware.replace", action_id="last"))
    before = await running.log.last_sequence()
    answer = await running.call(
        "BatchAuthorize", pb.BatchAuthorizeRequest(context=context(), actions=actions)
    )
    assert [each.action_id for each in answer.decisions] == [each.action_id for each in actions]
    assert [each.verdict for each in answer.decisions] == [pb.VERDICT_ALLOW] * 999 + [pb.VERDICT_DENY]
    assert answer.sequence == before + 1 == await running.log.last_sequence()
    assert len({each.decision_id for each in await running.decisions()}) == 1000


async def test_many_at_once_are_all_on_record(running: Running) -> None:
    await ready(running)
    decisions = await asyncio.gather(*(decided(running, ask()) for _ in range(64)))
    recorded = {each.decision_id for each in await running.decisions()}
    assert recorded == {each.decision_id for each in decisions}
    assert len(recorded) == 64


@pytest.mark.parametrize("fault", ["fail_next", "lose_next_answer", "conflict_next"])
async def test_what_is_not_durable_is_not_answered(running: Running, fault: str) -> None:
    await ready(running)
    getattr(running.log, fault)()
    with pytest.raises(Unavailable):
        await running.policy.authorization.decide(*await _as_asked(running), trusted=True)
    assert (await decided(running, ask())).verdict == pb.VERDICT_ALLOW


async def _as_asked(running: Running):  # type: ignore[no-untyped-def]
    from chassis import process
    from kernel.events import Cause
    from services.policy.handlers.ask import Ask
    from services.policy.wire.decisions import action_from_wire, context_from_wire

    asked = Ask(context_from_wire(context()), (action_from_wire(action()),), {})
    return asked, "", Cause("default", "r1", "service:tests", process.now())


async def test_a_replica_that_does_not_know_the_newest_decides_nothing(running: Running) -> None:
    await ready(running)
    await running.follower.stop()
    running.follower._at_end = -10.0
    with pytest.raises(Unavailable) as refused:
        await running.policy.authorization.decide(*await _as_asked(running), trusted=True)
    assert refused.value.reason == "DECIDER_STALE"
    assert await running.decisions() == []


async def test_a_replica_that_lost_touch_while_it_wrote_gives_no_permit(running: Running) -> None:
    await ready(running)
    append = running.log.append

    async def slowly(stream: Any, events: Any, **rest: Any) -> Any:
        appended = await append(stream, events, **rest)
        await running.follower.stop()
        running.follower._at_end = -10.0
        return appended

    running.log.append = slowly  # type: ignore[method-assign]
    with pytest.raises(Unavailable) as refused:
        await running.policy.authorization.decide(*await _as_asked(running), trusted=True)
    assert refused.value.reason == "DECIDER_STALE"


@pytest.mark.parametrize(
    "request_",
    [
        pb.BatchAuthorizeRequest(context=context()),
        pb.BatchAuthorizeRequest(context=context(), actions=[action(action_id=f"a{n}") for n in range(1001)]),
        pb.BatchAuthorizeRequest(context=context(), actions=[action(), action()]),
        pb.BatchAuthorizeRequest(
            context=context(), actions=[action()], costs={"a-1": pb.Amounts(tokens=10**6)}
        ),
        pb.BatchAuthorizeRequest(context=context(), actions=[action()], approval_ids={"a-1": "an-approval"}),
        pb.BatchAuthorizeRequest(context=context(), actions=[action("")]),
        pb.BatchAuthorizeRequest(context=context(), actions=[action("x" * 200)]),
        pb.BatchAuthorizeRequest(context=context(""), actions=[action()]),
        pb.BatchAuthorizeRequest(context=context(), actions=[action(parameters={"x": "y" * 5000})]),
    ],
)
async def test_malformed_requests_are_refused(running: Running, request_: pb.BatchAuthorizeRequest) -> None:
    with pytest.raises(Invalid):
        await running.call("BatchAuthorize", request_)
    assert await running.decisions() == []


async def test_more_than_an_event_holds_is_refused(running: Running) -> None:
    await ready(running)
    actions = [action(action_id=f"a{n}", parameters={"x": "y" * 3000}) for n in range(1000)]
    with pytest.raises(Exhausted):
        await running.call("BatchAuthorize", pb.BatchAuthorizeRequest(context=context(), actions=actions))


async def test_roles(running: Running) -> None:
    await ready(running)
    with pytest.raises(Denied):
        await decided(running, ask(), roles=("viewer",), actor="key:v")
    with pytest.raises(Unauthenticated) as refused:
        await decided(running, ask(), roles=("operator",), actor="key:o")
    assert refused.value.reason == "TOKEN_MISSING"
    (record,) = await running.decisions()
    assert (record.verdict, record.reason) == (pb.VERDICT_DENY, "TOKEN_MISSING")


async def test_what_an_agent_may_claim_when_it_asks_itself(running: Running) -> None:
    """Mode and run are its own word; a person that the set asks for, its task and its name are not (docs/policy.md)."""
    await ready(running, tier=pb.TIER_T3_EXECUTOR)
    secret = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))
    session = pb.CreateSessionRequest(role_id=secret.role_id, secret_id=secret.secret_id)
    token = (await running.call("CreateSession", session)).session_token
    itself: dict[str, Any] = {"actor": "key:agent", "roles": ("operator",)}

    async def claims(*, target: pb.Action, mode: int = pb.MODE_AUTO, **fields: Any) -> pb.Decision:
        claimed = context(mode=mode, **fields)
        return await decided(running, ask(context=claimed, action=target, session_token=token), **itself)

    restart, in_production = action("service.restart"), action("service.restart", environment="production")
    assert (await claims(target=restart, mode=pb.MODE_ASSISTED)).rule == "mode.assisted"
    assert (await claims(target=restart, run_id="any")).permit, (
        "good for no actuator of ours: it is not asked by it"
    )
    assert (await claims(target=in_production)).rule == "approval.production"
    assert (await claims(target=restart, task_id="another")).reason == "NO_PACKET"
    asked = pb.RequestApprovalRequest(context=context(), action=in_production, requested_by="agent:sre-1")
    with pytest.raises(Denied) as refused:
        await running.call("RequestApproval", asked, **itself)
    assert refused.value.reason == "ROLE_MISSING"
