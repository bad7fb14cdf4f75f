"""Rules, budgets and agents' standing on the command line: what is asked, what is said, and exit codes that mean it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message

from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost_sdk.policy_calls import PUBLISH_SECONDS, PolicyCalls
from tests.unit.sdk.conftest import FakeProvost, asked_of, at, invoke

EVIL = "x\x1b[2J\u202e[red]"
SET = 'version: "2"\n'
Simulated = pb.SimulatePolicySetResponse
Validated = pb.ValidatePolicySetResponse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "set.yaml"
    path.write_text(SET, "utf-8")
    return path


def test_each_problem_has_its_place_and_the_exit_code_is_one(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["ValidatePolicySet"] = Validated(
        version="2",
        problems=[Validated.Problem(line=12, column=5, path="tiers/T1", text=f"is missing {EVIL}")],
        warnings=[Validated.Problem(text="two patterns overlap")],
        tests=[Validated.Test(name="no drains", passed=False, text="ALLOW, not DENY", line=40)],
    )
    result = invoke("policy", "validate", file)
    assert result.exit_code == 1
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"{file}:12:5: is missing x")
    assert "\x1b" not in result.stdout
    assert second == f"{file}:1:1: two patterns overlap (warning)"
    assert third == f"{file}:40:1: test no drains failed: ALLOW, not DENY"
    assert asked_of(provost, "ValidatePolicySet").document == SET
    told = invoke("policy", "validate", file, "--json")
    assert (told.exit_code, json.loads(told.stdout)["problems"][0]["line"]) == (1, 12)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'version: "2"\nactions: \xff\n', ":2: this line is not UTF-8: save the file as UTF-8"),
        (b"#" * 1_048_577, "has 1048577 bytes, and a policy set may have 1048576 (1 MiB): name what"),
    ],
)
def test_a_file_that_is_no_text_or_too_large_is_told_so_in_plain_words(
    provost: type[FakeProvost], file: Path, raw: bytes, said: str
) -> None:
    file.write_bytes(raw)
    for command in ("validate", "publish", "diff"):
        result = invoke("policy", command, file)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_file_with_another_systems_line_ends_is_the_same_set(
    provost: type[FakeProvost], file: Path
) -> None:
    provost.answers["ValidatePolicySet"] = Validated(version="2")
    file.write_bytes(SET.replace("\n", "\r\n").encode())
    assert invoke("policy", "validate", file).exit_code == 0
    assert asked_of(provost, "ValidatePolicySet").document == SET


def test_a_set_that_could_go_live_is_exit_code_zero(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["ValidatePolicySet"] = Validated(
        version="2", tests=[Validated.Test(name="no drains", passed=True)]
    )
    result = invoke("policy", "validate", file)
    assert (result.exit_code, "version 2 could go live, 1 tests passed" in result.stdout) == (0, True)
    result = invoke("policy", "test", file)
    assert (result.exit_code, "1 of 1 passed" in result.stdout) == (0, True)


def test_a_test_that_fails_is_exit_code_one(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["ValidatePolicySet"] = Validated(
        tests=[Validated.Test(name="a", passed=True), Validated.Test(name="b", passed=False, text="no")]
    )
    result = invoke("policy", "test", file)
    assert result.exit_code == 1
    assert "FAILED b" in result.stdout
    assert "1 of 2 passed" in result.stdout


def test_a_file_that_is_not_there_is_misuse(provost: type[FakeProvost], tmp_path: Path) -> None:
    for command in ("validate", "test", "publish", "diff"):
        assert invoke("policy", command, tmp_path / "none.yaml").exit_code == 2
    assert invoke("policy", "simulate", "--set", tmp_path / "none.yaml").exit_code == 2
    assert provost.asked == []


def test_what_is_wider_comes_first(provost: type[FakeProvost], file: Path) -> None:
    difference = pb.DiffPolicySetsResponse.Difference
    provost.answers["DiffPolicySets"] = pb.DiffPolicySetsResponse(
        old_version="1",
        new_version="2",
        differences=[
            difference(kind="ttl", before="60", after="30"),
            difference(kind="capability", tier=pb.TIER_T1_OPERATOR, action="a.b", after="yes", wider=True),
        ],
    )
    result = invoke("policy", "diff", file, "--from", "1")
    assert result.exit_code == 0
    assert result.stdout.index("WIDER") < result.stdout.index("ttl")
    assert "T1_OPERATOR" in result.stdout
    request = asked_of(provost, "DiffPolicySets")
    assert (request.new_document, request.new_version, request.old_version) == (SET, "", "1")
    provost.asked.clear()
    invoke("policy", "diff", "7")
    assert asked_of(provost, "DiffPolicySets").new_version == "7"


async def test_whatever_puts_a_set_in_force_has_the_time_that_its_tests_take() -> None:
    """Both look it over."""
    asked: dict[Any, float] = {}

    class Heard(PolicyCalls):
        def __init__(self) -> None:
            self._policy = PolicyServiceStub(grpc.aio.insecure_channel("localhost:1"))

        async def _call(self, method: Any, request: Any, timeout_seconds: float | None = None) -> Any:
            asked[type(request)] = timeout_seconds or 0.0

    await Heard().publish_policy_set(SET, replaces="1")
    await Heard().rollback_policy_set("1", replaces="2")
    assert list(asked.values()) == [PUBLISH_SECONDS] * 2


def test_publishing_replaces_what_is_in_force_and_says_how_to_go_back(
    provost: type[FakeProvost], file: Path
) -> None:
    provost.answers["GetPolicySet"] = pb.GetPolicySetResponse(version="1")
    provost.answers["PublishPolicySet"] = pb.PublishPolicySetResponse(version="2", sequence=9)
    result = invoke("policy", "publish", file, "--why", "less")
    assert result.exit_code == 0
    assert "provost policy rollback 1" in result.stdout
    request = asked_of(provost, "PublishPolicySet")
    assert (request.document, request.replaces_version, request.why) == (SET, "1", "less")
    assert request.request_id
    provost.answers["RollbackPolicySet"] = pb.RollbackPolicySetResponse(version="1", sequence=10)
    assert invoke("policy", "rollback", "1", "--replaces", "2").exit_code == 0
    assert asked_of(provost, "RollbackPolicySet").replaces_version == "2"


def test_what_may_surprise_in_a_set_is_told_when_it_is_published(
    provost: type[FakeProvost], file: Path
) -> None:
    provost.answers["GetPolicySet"] = pb.GetPolicySetResponse(version="1")
    warning = Validated.Problem(line=7, column=3, path="rules/0/rego", text=f"no rule reads it {EVIL}")
    provost.answers["PublishPolicySet"] = pb.PublishPolicySetResponse(
        version="2", sequence=9, warnings=[warning]
    )
    result = invoke("policy", "publish", file)
    assert result.exit_code == 0
    said = result.stdout.splitlines()[-1]
    assert said.startswith(f"{file}:7:3: no rule reads it x")
    assert said.endswith("(rules/0/rego) (warning)")
    assert "\x1b" not in result.stdout
    assert json.loads(invoke("policy", "publish", file, "--json").stdout)["warnings"][0]["line"] == 7


def test_what_is_in_force_already_is_said_so(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["GetPolicySet"] = pb.GetPolicySetResponse(version="2", sequence=9)
    provost.answers["PublishPolicySet"] = pb.PublishPolicySetResponse(version="2", sequence=9)
    provost.answers["RollbackPolicySet"] = pb.RollbackPolicySetResponse(version="2", sequence=9)
    for arguments in (("publish", file), ("publish", file, "--replaces", "nosuch"), ("rollback", "2")):
        result = invoke("policy", *arguments)
        assert result.exit_code == 0
        assert result.stdout == "Version 2 is already in force, since sequence 9: nothing changed.\n"


def test_sets_are_listed(provost: type[FakeProvost]) -> None:
    published = pb.ListPolicySetsResponse.PublishedSet
    provost.answers["ListPolicySets"] = pb.ListPolicySetsResponse(
        sets=[published(version="2", by="key:a", at=at(1), in_force=True, rolled_back_to=True, why="calm")]
    )
    result = invoke("policy", "list")
    assert "(rolled back) calm" in result.stdout
    assert json.loads(invoke("policy", "list", "--json").stdout)[0]["in_force"] is True


FLIP = Simulated.Flip(
    decision_id="d-1", agent_id="sre-1", action=pb.Action(name="ansible.check", target=EVIL, environment="sandbox"),
    at=at(1), before=pb.VERDICT_ALLOW, before_reason="ALLOWED_BY_TIER", after=pb.VERDICT_DENY,
    after_reason="TIER_TOO_LOW", after_rule="tier.T1_OPERATOR", explanation="too low",
)  # fmt: skip
TOTALS = Simulated.Totals(
    decisions=1200, flips=3, by_change={"ALLOW>DENY": 3}, by_agent={"sre-1": 3}, by_action={"ansible.check": 3},
    left_out={"erased": 2}, position=77, seconds=0.1, decided=1198,
)  # fmt: skip


def test_flips_are_counted_and_shown(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["SimulatePolicySet"] = [
        Simulated(totals=Simulated.Totals(decisions=5)),
        Simulated(flips=[FLIP], totals=TOTALS, done=True),
    ]
    result = invoke("policy", "simulate", "--set", file, "--from", "7d", "--agent", "sre-1")
    assert result.exit_code == 0
    assert "3 of 1,200 decisions come out otherwise" in result.stdout
    assert "12,000/s" in result.stdout
    assert "left out: 2, for their data was erased" in result.stdout
    assert "tier.T1_OPERATOR: too low" in result.stdout
    assert "and 2 more" in result.stdout
    assert "\x1b[2J" not in result.stdout
    request = asked_of(provost, "SimulatePolicySet")
    assert (request.document, request.agent_id) == (SET, "sre-1")
    since = datetime.now(UTC) - request.from_time.ToDatetime(tzinfo=UTC)
    assert timedelta(days=7) <= since < timedelta(days=7, minutes=1)
    assert not request.HasField("to_time")


@pytest.mark.parametrize(
    ("since", "seen"), [("999999d", "0001-01-01T00:00:00Z"), ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]
)
def test_a_simulation_may_begin_where_the_calendar_does(
    provost: type[FakeProvost], file: Path, since: str, seen: str
) -> None:
    provost.answers["SimulatePolicySet"] = [Simulated(totals=TOTALS, done=True)]
    assert invoke("policy", "simulate", "--set", file, "--from", since).exit_code == 0
    assert asked_of(provost, "SimulatePolicySet").from_time.ToJsonString() == seen


@pytest.mark.parametrize("beyond", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_beyond_the_calendar_is_a_misuse(beyond: str, file: Path) -> None:
    told = invoke("policy", "simulate", "--set", file, "--from", beyond)
    assert (told.exit_code, "beyond the years 1 to 9999" in told.stderr) == (2, True)


def test_more_flips_than_may_be_are_exit_code_one(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["SimulatePolicySet"] = [Simulated(flips=[FLIP], totals=TOTALS, done=True)]
    for most, code in ((2, 1), (3, 0)):
        assert invoke("policy", "simulate", "--set", file, "--most-flips", most).exit_code == code
    told = invoke("policy", "simulate", "--set", "7", "--json")
    made = json.loads(told.stdout)
    assert (made["totals"]["flips"], made["flips"][0]["after"]) == (3, "DENY")
    assert provost.asked[-1][1].version == "7"
    assert invoke("policy", "simulate", "--set", "7", "--from", "soon").exit_code == 2


def test_a_simulation_of_nothing_is_not_well(provost: type[FakeProvost], file: Path) -> None:
    provost.answers["SimulatePolicySet"] = [Simulated(totals=Simulated.Totals(position=77), done=True)]
    arguments = ("policy", "simulate", "--set", file, "--agent", EVIL, "--from", "7d", "--most-flips", "0")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "no decision was looked at: none is on record for --from 7d --agent x" in result.stderr
    assert "\x1b" not in result.stderr
    assert invoke(*arguments, "--json").exit_code == 1


def test_a_simulation_that_could_decide_nothing_again_is_not_well(
    provost: type[FakeProvost], file: Path
) -> None:
    """All of the range was left out, or no set had a say in it: no flips, and no word on the set either."""
    totals = Simulated.Totals(decisions=5, left_out={"erased": 3, "not_reproduced": 2})
    for each in (totals, Simulated.Totals(decisions=5)):
        provost.answers["SimulatePolicySet"] = [Simulated(totals=each, done=True)]
        arguments = ("policy", "simulate", "--set", file, "--from", "7d", "--most-flips", "0")
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert "come out otherwise" not in result.stdout
        assert "none of the 5 decisions for --from 7d could be decided again" in result.stderr
        assert "that says nothing about the set" in result.stderr
        assert invoke(*arguments, "--json").exit_code == 1
    provost.answers["SimulatePolicySet"] = [Simulated(totals=totals, done=True)]
    assert "left out: 3, for their data was erased" in invoke(*arguments).stdout


def test_what_is_missing_or_no_time_is_said(provost: type[FakeProvost], tmp_path: Path) -> None:
    assert "FILE|VERSION is empty" in invoke("policy", "diff", "").stderr
    assert "--set is empty" in invoke("policy", "simulate", "--set", "").stderr
    result = invoke("policy", "publish", tmp_path)
    assert (result.exit_code, "is a directory: name a file" in result.stderr) == (2, True)
    result = invoke("policy", "simulate", "--set", "7", "--from", "-1d")
    assert (result.exit_code, "or so long ago, as 7d, 12h or 30m" in result.stderr) == (2, True)
    assert provost.asked == []


def test_why_not_and_what_would_have_to_change(provost: type[FakeProvost]) -> None:
    provost.answers["Explain"] = pb.ExplainResponse(
        decision=pb.Decision(
            verdict=pb.VERDICT_DENY, reason="TIER_TOO_LOW", rule="tier.T1_OPERATOR", explanation="it would take more",
            changes=[pb.Change(what="tier", to="T3_EXECUTOR", by="admin")],
        ),
        checks=[
            pb.ExplainResponse.Check(rule="agent.known", passed=True, text="it is"),
            pb.ExplainResponse.Check(rule="tier", passed=False, text="it may not"),
        ],
    )  # fmt: skip
    result = invoke(
        "policy", "explain", "sre-1", "service.restart", "--target", "web", "--env", "production",
        "--parameter", "unit=web", "--tier", "T1",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "DENY  TIER_TOO_LOW by tier.T1_OPERATOR" in result.stdout
    assert "for a yes: tier → T3_EXECUTOR (by admin)" in result.stdout
    assert "✗ tier" in result.stdout
    asking = pb.Change(what="approval", to="approval.production", by="approver")
    provost.answers["Explain"].decision.changes.append(asking)
    told = invoke("policy", "explain", "sre-1", "service.restart").stdout
    assert (
        """
  for a yes, all of these:
    tier → T3_EXECUTOR (by admin)
    approval → approval.production (by approver)
"""
        in told
    )
    provost.asked.pop()
    request = asked_of(provost, "Explain")
    assert (request.context.task_id, request.tier) == ("", pb.TIER_T1_OPERATOR)
    assert [method for method, _ in provost.asked] == ["Explain"]
    assert (request.action.environment, dict(request.action.parameters)) == ("production", {"unit": "web"})
    assert invoke("policy", "explain", "sre-1", "a.b", "--task", "task-1").exit_code == 0
    assert provost.asked[-1][1].context.task_id == "task-1"
    assert invoke("policy", "explain", "sre-1", "a.b", "--parameter", "nothing").exit_code == 2
    assert invoke("policy", "explain", "sre-1", "a.b", "--tier", "T9").exit_code == 2


def test_budgets_say_what_is_left(provost: type[FakeProvost]) -> None:
    line = pb.Budget.Line
    provost.answers["ListBudgets"] = pb.ListBudgetsResponse(
        budgets=[
            pb.Budget(
                budget_id="set.daily", scope=pb.BUDGET_SCOPE_AGENT, scope_id="sre-1", window_seconds=86400,
                lines=[line(unit=pb.UNIT_ACTIONS, most=1000, spent=990, reserved=7)],
            )
        ]
    )  # fmt: skip
    result = invoke("budgets", "list", "--agent", "sre-1")
    assert result.exit_code == 0
    assert [each in result.stdout for each in ("set.daily", "1,000", "990", "7", "3")] == [True] * 5
    assert asked_of(provost, "ListBudgets").agent_id == "sre-1"


def test_limits_are_set_by_hand_and_taken_back(provost: type[FakeProvost]) -> None:
    provost.answers["SetBudget"] = pb.SetBudgetResponse(sequence=5)
    arguments = (
        "budgets",
        "set",
        "agent",
        "sre-1",
        "--limit",
        "actions=5",
        "--limit",
        "tokens=7",
        "--window",
        "60",
    )
    assert invoke(*arguments).exit_code == 0
    request = asked_of(provost, "SetBudget")
    assert (request.scope, request.scope_id, request.window_seconds) == (pb.BUDGET_SCOPE_AGENT, "sre-1", 60)
    assert [(each.unit, each.most) for each in request.limits] == [(pb.UNIT_ACTIONS, 5), (pb.UNIT_TOKENS, 7)]
    assert invoke("budgets", "set", "tenant", "--none").exit_code == 0
    provost.asked.clear()
    for wrong in (
        ("agent", "sre-1"),
        ("agent", "--limit", "actions=5"),
        ("tenant", "x", "--limit", "actions=5"),
        ("tenant", "--limit", "smiles=5"),
        ("tenant", "--limit", "actions=-5"),
        ("tenant", "--limit", f"actions={10**20}"),
        ("tenant", "--limit", "actions=5", "--window", str(10**20)),
        ("tenant", "--limit", "actions=5", "--none"),
        ("moon", "--none"),
    ):
        assert invoke("budgets", "set", *wrong).exit_code == 2, wrong
    assert "a whole number, 0 or more" in invoke("budgets", "set", "tenant", "--limit", "actions=-5").stderr
    twice = invoke("budgets", "set", "tenant", "--limit", "actions=1", "--limit", "ACTIONS=2")
    assert (twice.exit_code, twice.stderr) == (2, "--limit actions is given twice, as 1 and as 2: which?\n")
    assert provost.asked == []


def agent(**fields: Any) -> pb.Agent:
    made: dict[str, Any] = {
        "agent_id": "sre-1",
        "tier": pb.TIER_T2_BUILDER,
        "state": pb.AGENT_STATE_ACTIVE,
    } | fields
    return pb.Agent(**made)


def test_an_agent_is_shown_with_what_it_has_shown(provost: type[FakeProvost]) -> None:
    record = pb.TrackRecord(verified_runs=9, compliant_in_row=4, violations=2, violations_at_tier=1)
    shown = agent(record=record, parent_agent_id="boss", state=pb.AGENT_STATE_SUSPENDED, suspend_reason=EVIL)
    provost.answers["GetAgent"] = pb.GetAgentResponse(agent=shown)
    result = invoke("agents", "show", "sre-1")
    assert result.exit_code == 0
    for text in ("T2_BUILDER", "SUSPENDED", "boss", "9 runs, 4 compliant in a row", "2, 1 at this tier"):
        assert text in result.stdout
    assert "\x1b[2J" not in result.stdout


def test_agents_are_suspended_resumed_and_moved(provost: type[FakeProvost]) -> None:
    provost.answers |= {
        "GetAgent": pb.GetAgentResponse(agent=agent()),
        "SuspendAgent": pb.SuspendAgentResponse(agent=agent()),
        "ResumeAgent": pb.ResumeAgentResponse(agent=agent()),
        "PromoteAgent": pb.PromoteAgentResponse(agent=agent(tier=pb.TIER_T3_EXECUTOR)),
        "DemoteAgent": pb.DemoteAgentResponse(agent=agent(tier=pb.TIER_T1_OPERATOR)),
    }
    assert invoke("agents", "suspend", "sre-1", "--why", "odd").exit_code == 0
    assert asked_of(provost, "SuspendAgent").why == "odd"
    assert invoke("agents", "resume", "sre-1").exit_code == 0
    result = invoke("agents", "promote", "sre-1")
    assert (result.exit_code, "T3_EXECUTOR now" in result.stdout) == (0, True)
    assert asked_of(provost, "PromoteAgent").to_tier == pb.TIER_T3_EXECUTOR
    assert invoke("agents", "demote", "sre-1").exit_code == 0
    assert asked_of(provost, "DemoteAgent").to_tier == pb.TIER_T1_OPERATOR
    assert invoke("agents", "promote", "sre-1", "--to", "T9").exit_code == 2


def test_an_agent_is_registered_under_the_one_that_controls_it(provost: type[FakeProvost]) -> None:
    provost.answers["RegisterAgent"] = pb.RegisterAgentResponse(agent=agent(agent_id="sre-1-helper"))
    assert invoke("agents", "register", "sre-1-helper", "--parent", "sre-1", "--no-secret").exit_code == 0
    request = asked_of(provost, "RegisterAgent")
    assert (request.agent_id, request.parent_agent_id) == ("sre-1-helper", "sre-1")


def test_a_promotion_that_waits_for_people_is_exit_code_four(provost: type[FakeProvost]) -> None:
    provost.answers["PromoteAgent"] = pb.PromoteAgentResponse(
        agent=agent(), approval=pb.Approval(approval_id="a-1", needed=2)
    )
    result = invoke("agents", "promote", "sre-1", "--to", "T4")
    assert result.exit_code == 4
    assert "waits for 2 approval(s)" in result.stdout
    assert "provost approvals approve a-1" in result.stdout


def test_a_secret_may_be_wrapped(provost: type[FakeProvost]) -> None:
    wrapped: Message = pb.CreateSecretResponse(role_id="r", wrapping_token="w-1", wrapping_expire_time=at(9))
    provost.answers["CreateSecret"] = wrapped
    result = invoke("agents", "secret", "sre-1", "--wrap", "60")
    assert (result.exit_code, "w-1" in result.stdout) == (0, True)
    assert asked_of(provost, "CreateSecret").wrap_seconds == 60


RECEIPT = pb.RevocationReceipt(
    agent_id="sre-1", revocation_sequence=41, revoke_time=at(3), children=["sre-1-helper"],
    lost=[
        pb.PowerLost(surface="tokens", service="policy", replica="a", powerless_ms=0.4, ended=1, statement="e30.e30."),
        pb.PowerLost(surface="locks", service="state", replica="b", powerless_ms=3.25, ended=2, statement="e30.e30."),
    ],
)  # fmt: skip


def test_a_revocation_tells_what_it_took_and_how_fast(provost: type[FakeProvost]) -> None:
    revoked = agent(state=pb.AGENT_STATE_REVOKED)
    provost.answers["RevokeAgent"] = pb.RevokeAgentResponse(agent=revoked, sequence=41, receipt=RECEIPT)
    result = invoke("agents", "revoke", "sre-1", "--reason", "odd", "--wait-ms", "500")
    assert result.exit_code == 0
    assert "sre-1 is revoked" in result.stdout
    assert "within 3.2 ms" in result.stdout
    assert result.stdout.index("locks") < result.stdout.index("tokens ")
    assert "sre-1-helper" in result.stdout
    request = asked_of(provost, "RevokeAgent")
    assert (request.kind, request.details, request.wait_ms) == ("operator", "odd", 500)


def test_a_revocation_without_a_receipt_is_not_well(provost: type[FakeProvost]) -> None:
    revoked = pb.RevokeAgentResponse(agent=agent(state=pb.AGENT_STATE_REVOKED), sequence=41)
    for options in ((), ("--json",)):
        provost.answers["RevokeAgent"] = revoked
        result = invoke("agents", "revoke", "sre-1", *options)
        assert result.exit_code == 1
        assert "no receipt yet" in result.stderr
        assert "provost agents receipt sre-1" in result.stderr


def test_who_was_silent_is_named_and_the_exit_code_is_one(provost: type[FakeProvost]) -> None:
    silent = pb.RevocationReceipt(silent=["state/3f2a:locks"])
    silent.MergeFrom(RECEIPT)
    provost.answers["GetRevocationReceipt"] = pb.GetRevocationReceiptResponse(receipt=silent)
    result = invoke("agents", "receipt", "sre-1")
    assert (result.exit_code, "SILENT: state/3f2a:locks" in result.stdout) == (1, True)
    assert "This receipt stays as it is." in result.stdout
    assert "says `provost status`: end that process." in result.stdout
    assert r"\x0a" not in result.stdout
    told = invoke("agents", "receipt", "sre-1", "--json")
    assert (told.exit_code, json.loads(told.stdout)["lost"][1]["ended"]) == (1, 2)
    provost.answers["GetRevocationReceipt"] = pb.GetRevocationReceiptResponse(receipt=RECEIPT)
    assert "stays as it is" not in invoke("agents", "receipt", "sre-1").stdout
