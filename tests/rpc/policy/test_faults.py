"""Tokens of every wrong kind, clocks that jump, sets that cannot be read, floods of denials: refused, and on record."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis.signing import SigningKey
from kernel.faults import Fault, Unauthenticated, Unavailable
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from tests.rpc.policy.conftest import Clock, Running, action, context

ADMIN: dict[str, Any] = {"actor": "key:admin", "roles": ("admin",)}
OPERATOR: dict[str, Any] = {"actor": "key:edge", "roles": ("operator",)}


def ask(**fields: Any) -> pb.AuthorizeRequest:
    made: dict[str, Any] = {"context": context(), "action": action()} | fields
    return pb.AuthorizeRequest(**made)


async def ready(running: Running, **who: Any) -> str:
    """An agent with a packet; its session token."""
    await running.register(**who)
    await running.packet(**who)
    made = await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"), **who)
    session = pb.CreateSessionRequest(role_id=made.role_id, secret_id=made.secret_id)
    return str((await running.call("CreateSession", session, **who)).session_token)


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return _opened(header), _opened(claims), signature


def _opened(part: str) -> dict[str, Any]:
    opened: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return opened


def closed(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (header, claims)
    )
    return ".".join((*parts, signature))


class Forger:
    """Makes tokens of every wrong kind out of a right one."""

    def __init__(self, running: Running, token: str, directory: Path) -> None:
        self.header, self.claims, self.signature = parts_of(token)
        self.token = token
        self.policy = running.signer._key
        self.stranger = SigningKey.load_or_create(directory / "stranger.pem")
        self.now = int(datetime.now(UTC).timestamp())

    def made(self, kind: str) -> str:
        match kind:
            case "no token":
                return "nonsense"
            case "alg none":
                return closed({**self.header, "alg": "none"}, self.claims, "")
            case "signed by a stranger":
                return self.stranger.sign(self.claims)
            case "a stranger's under policy's name":
                forged = self.stranger.sign(self.claims).split(".")
                return ".".join((self.token.split(".")[0], *forged[1:]))
            case "another tier written in":
                return closed(self.header, {**self.claims, "tier": "T4_ARCHITECT"}, self.signature)
            case "another agent written in":
                return closed(self.header, {**self.claims, "agent_id": "sre-2"}, self.signature)
            case "a permit":
                return self.policy.sign({**self.claims, "aud": "actuator"})
            case "several audiences":
                return self.policy.sign({**self.claims, "aud": ["provost", "actuator"]})
            case "expired":
                return self.policy.sign({**self.claims, "exp": self.now - 1})
            case "not valid yet":
                return self.policy.sign({**self.claims, "nbf": self.now + 600})
            case "never expires":
                return self.policy.sign({name: value for name, value in self.claims.items() if name != "exp"})
            case "another tenant's":
                return self.policy.sign({**self.claims, "tenant": "acme"})
            case "another agent's":
                return self.policy.sign({**self.claims, "agent_id": "sre-2"})
            case _:
                raise AssertionError(kind)


KINDS = {
    "no token": "TOKEN_INVALID",
    "alg none": "TOKEN_INVALID",
    "signed by a stranger": "TOKEN_INVALID",
    "a stranger's under policy's name": "TOKEN_INVALID",
    "another tier written in": "TOKEN_INVALID",
    "another agent written in": "TOKEN_INVALID",
    "a permit": "TOKEN_INVALID",
    "several audiences": "TOKEN_INVALID",
    "expired": "TOKEN_EXPIRED",
    "not valid yet": "TOKEN_INVALID",
    "never expires": "TOKEN_INVALID",
    "another tenant's": "TENANT_MISMATCH",
    "another agent's": "TOKEN_INVALID",
}


@pytest.mark.parametrize("trusted", [False, True], ids=["an agent's key", "a service"])
@pytest.mark.parametrize("kind", KINDS)
async def test_fault_22_a_token_of_the_wrong_kind_is_refused_and_on_record(
    running: Running, tmp_path: Path, kind: str, trusted: bool
) -> None:
    token = Forger(running, await ready(running), tmp_path).made(kind)
    who: dict[str, Any] = {} if trusted else OPERATOR
    for method, request in (
        ("Authorize", ask(session_token=token)),
        (
            "BatchAuthorize",
            pb.BatchAuthorizeRequest(session_token=token, context=context(), actions=[action()]),
        ),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await running.call(method, request, **who)
        assert refused.value.reason == KINDS[kind]
        assert any(
            each in refused.value.text for each in ("get a new one", "create a session", "with a key of")
        )
        assert token not in refused.value.text
    records = await running.decisions()
    assert [(each.verdict, each.rule, each.reason) for each in records] == [
        (pb.VERDICT_DENY, "token", KINDS[kind])
    ] * 2
    assert not any(token.encode() in each.SerializeToString() for each in records)


async def test_fault_22_the_right_token_is_none_of_these(running: Running) -> None:
    token = await ready(running)
    answer = await running.call("Authorize", ask(session_token=token), **OPERATOR)
    assert answer.decision.verdict == pb.VERDICT_ALLOW


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_fault_17_the_order_of_events_is_the_order_whatever_the_clock_says(
    running: Running, clock: Clock, minutes: int
) -> None:
    """What was revoked stays revoked, though by the clock it has not been yet; what comes later counts."""
    await ready(running)
    before = await running.log.last_sequence()
    clock.ahead = timedelta(minutes=minutes)
    first = await running.call("Authorize", ask())
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator"))
    clock.ahead = timedelta(minutes=-minutes)
    second = await running.call("Authorize", ask())
    assert (first.decision.reason, second.decision.reason) == ("ALLOWED_BY_TIER", "AGENT_REVOKED")
    assert before < first.sequence < second.sequence


async def test_fault_17_a_permit_lives_by_the_clock_of_who_gave_it(running: Running, clock: Clock) -> None:
    await ready(running)
    clock.ahead = timedelta(minutes=10)
    decision = (await running.call("Authorize", ask())).decision
    _, claims, _ = parts_of(decision.permit)
    assert claims["exp"] - claims["iat"] == 60
    assert claims["nbf"] == claims["iat"]
    ahead = claims["iat"] - int(datetime.now(UTC).timestamp())
    assert 590 <= ahead <= 610


UNREADABLE = {
    "empty": "",
    "half written": 'version: "2"\nactions: {diagnostics.mem',
    "another thing": "- just\n- a list\n",
}
NOT_COMPILING = {
    "no rule": "package nonsense {",
    "half a rule": 'package provost.rules.x\n\ndeny contains "x" if {\n  input.run.id == }\n',
    "unknown function": 'package provost.rules.x\n\ndeny contains "x" if nobody_knows(input.run.id)\n',
}


async def second(running: Running, rego: str) -> str:
    """The built-in set with one rule more, which is this."""
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest(), **ADMIN)
    rules = f"\nrules:\n  - id: x\n    rego: {json.dumps(rego)}\n"
    return str(shown.document).replace('version: "1"', 'version: "2"') + rules


async def put_in_force(running: Running, document: str) -> None:
    """As if another program had put it there: our own never would."""
    event = events_pb2.PolicySetPublished(version="2", document=document)
    event.at.FromDatetime(datetime.now(UTC))
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.PolicySetPublished\r\n\r\n"
    subject = "evt.default.policy.policyset.current.PolicySetPublished"
    await running.follower.reached(running.log.put(subject, event.SerializeToString(), headers))


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_fault_30_a_set_in_force_that_cannot_be_read_denies_everything_and_says_so(
    running: Running, kind: str
) -> None:
    await ready(running)
    await put_in_force(running, UNREADABLE[kind])
    decision = (await running.call("Authorize", ask())).decision
    assert (decision.verdict, decision.reason) == (pb.VERDICT_DENY, "POLICY_SET_INVALID")
    assert (decision.changes[0].what, decision.changes[0].by) == ("policy_set", "admin")


@pytest.mark.parametrize("kind", NOT_COMPILING)
async def test_fault_30_a_rule_in_force_that_cannot_be_asked_denies_everything_and_says_so(
    running: Running, kind: str
) -> None:
    await ready(running)
    await put_in_force(running, await second(running, NOT_COMPILING[kind]))
    decision = (await running.call("Authorize", ask())).decision
    assert (decision.verdict, decision.reason, decision.policy_version) == (
        pb.VERDICT_DENY,
        "RULE_FAILED",
        "2",
    )
    assert decision.explanation


async def test_fault_30_a_set_in_force_that_can_be_read_decides(running: Running) -> None:
    await ready(running)
    await put_in_force(
        running, await second(running, 'package provost.rules.x\n\ndeny contains "x" if 1 == 2\n')
    )
    decision = (await running.call("Authorize", ask())).decision
    assert (decision.reason, decision.policy_version) == ("ALLOWED_BY_TIER", "2")


async def test_fault_30_a_set_whose_event_is_damaged_denies_everything(running: Running) -> None:
    await ready(running)
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.PolicySetPublished\r\n\r\n"
    subject = "evt.default.policy.policyset.current.PolicySetPublished"
    await running.follower.reached(running.log.put(subject, b"\xff\xff", headers))
    assert (await running.call("Authorize", ask())).decision.reason == "POLICY_SET_INVALID"
    explained = await running.call("Explain", pb.ExplainRequest(context=context(), action=action()))
    assert explained.decision.reason == "POLICY_SET_INVALID"
    last = await running.log.last_sequence()
    await running.policy.replacing.publish_default(datetime.now(UTC))  # as at each start
    assert await running.log.last_sequence() == last


@pytest.mark.parametrize("kind", [*UNREADABLE, *NOT_COMPILING])
async def test_fault_30_a_bad_set_never_goes_live(running: Running, kind: str) -> None:
    await ready(running)
    before = await running.log.last_sequence()
    document = UNREADABLE[kind] if kind in UNREADABLE else await second(running, NOT_COMPILING[kind])
    publish = pb.PublishPolicySetRequest(document=document, replaces_version="1")
    with pytest.raises(Fault) as refused:
        await running.call("PublishPolicySet", publish, **ADMIN)
    assert refused.value.reason in {"POLICY_SET_INVALID", "FIELD_MISSING"}
    assert kind in UNREADABLE or "rules/0/rego" in str(refused.value.text)
    assert await running.log.last_sequence() == before
    assert (await running.call("Authorize", ask())).decision.policy_version == "1"


TEXTS = r"""package provost.rules.x

deny contains "a second command" if {
  some line in split(input.action.parameters.script, "\n")
  startswith(line, "rm ")
}

deny contains sprintf("%s is production", [input.action.target]) if endswith(input.action.target, "prod")
approve contains sprintf("%s?", [input.action.target]) if contains(input.action.target, "]")
"""


@pytest.mark.parametrize(
    ("target", "script", "reason"),
    [
        ("x", "rm -rf /", "RULE_DENIED"),
        ("x", "ls\nrm -rf /", "RULE_DENIED"),
        ("x", "\0\nrm -rf /", "RULE_DENIED"),
        ("x", "ls\\nrm -rf /", "ALLOWED_BY_TIER"),
        ("db-prod", "ls", "RULE_DENIED"),
        ("db\0-prod", "ls", "RULE_DENIED"),
        ('"db-prod', "ls", "RULE_DENIED"),
        ("db-prod\0", "ls", "ALLOWED_BY_TIER"),
    ],
)
async def test_no_character_hides_from_a_rule_what_it_looks_for(
    running: Running, target: str, script: str, reason: str
) -> None:
    await ready(running)
    publish = pb.PublishPolicySetRequest(document=await second(running, TEXTS), replaces_version="1")
    await running.call("PublishPolicySet", publish, **ADMIN)
    asked = ask(action=action(target=target, parameters={"script": script}))
    decision = (await running.call("Authorize", asked)).decision
    assert (decision.reason, bool(decision.permit)) == (reason, reason == "ALLOWED_BY_TIER")


async def test_fault_30_without_the_log_there_is_no_answer_that_somebody_might_act_on(
    running: Running,
) -> None:
    await ready(running)
    running.log.fail_next()
    with pytest.raises(Unavailable):
        await running.policy.authorization.decide(*_asked(), trusted=True)


def _asked() -> Any:
    from kernel.events import Cause
    from services.policy.handlers.ask import Ask
    from services.policy.wire.decisions import action_from_wire, context_from_wire

    cause = Cause("default", "r", "service:tests", datetime.now(UTC))
    return Ask(context_from_wire(context()), (action_from_wire(action()),), {}), "", cause


async def test_fault_33_of_a_flood_of_denials_each_is_on_record(running: Running) -> None:
    token = await ready(running)
    actions = [action("rm.all", parameters={"n": str(n)}) for n in range(600)]
    answers = await asyncio.gather(
        *(running.call("Authorize", ask(session_token=token, action=each), **OPERATOR) for each in actions)
    )
    assert {each.decision.reason for each in answers} == {"ACTION_UNKNOWN"}
    recorded = {each.decision_id for each in await running.decisions()}
    assert recorded == {each.decision.decision_id for each in answers}
    assert len(recorded) == 600
