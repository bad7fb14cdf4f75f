"""The command line: what it asks, what it says, how it ends. Behind it a client that answers from memory."""

import io
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from typer.testing import CliRunner

from chassis.config import ServiceSettings
from chassis.embedded.place import Place
from provost.gateway.v1 import gateway_pb2
from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from provost_sdk import errors
from provost_sdk.cli.app import app
from provost_sdk.client import tier_of
from tests.unit.gateway.test_wire import full_run

STATES = orchestrator_pb2.RunState


class FakeProvost:
    """Answers what it was set to; says with which address and key it was made, and what it was asked."""

    answers: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = []
    made: ClassVar[list[tuple[str, str]]] = []
    authorities: ClassVar[list[Path | None]] = []
    there = True

    def __init__(self, address: str, key: str = "", *, ca_file: Path | None = None, **_: object) -> None:
        self.made.append((address, key))
        self.authorities.append(ca_file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def reached(self) -> bool:
        return self.there

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((name, args, kwargs))
            answer = self.answers[name]
            if isinstance(answer, list):
                answer = answer.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def steps(*args: Any, **kwargs: Any) -> Any:
            for each in self.answers[name]:
                yield each

        return steps if name == "rebuild_ledger" else call


@pytest.fixture
def provost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeProvost]:
    for name in ("PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_GATEWAY_PORT", "PROVOST_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("provost_sdk.cli.process.AWAY_SECONDS", 0.0)
    monkeypatch.setattr("provost_sdk.cli.process.PAUSE_SECONDS", 0.0)
    fresh = type("FreshProvost", (FakeProvost,), {"answers": {}, "asked": [], "made": [], "authorities": []})
    monkeypatch.setattr("provost_sdk.client.Provost", fresh)
    return fresh


def invoke(*arguments: str, stdin: bytes | None = None) -> Any:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def run_in(state: str) -> orchestrator_pb2.Run:
    run = full_run()
    run.state = STATES.Value(f"RUN_STATE_{state}")
    return run


@pytest.mark.parametrize(
    ("state", "code"),
    [("COMPLETED", 0), ("WAITING", 4), ("RUNNING", 4), ("REFUSED", 5), ("FAILED", 5), ("REVOKED", 5)],
)
def test_the_exit_code_says_what_came_of_the_run(
    provost: type[FakeProvost], tmp_path: Path, state: str, code: int
) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"boom \xff\n")
    provost.answers["process_log"] = run_in(state)
    result = invoke("process", str(log), "--mode", "auto", "--agent", "sre-2")
    assert result.exit_code == code
    assert state in result.output
    ((name, (sent,), options),) = provost.asked
    assert (name, sent) == ("process_log", b"boom \xff\n")
    assert (str(options["mode"]), options["agent"]) == ("auto", "sre-2")


def test_a_run_whose_own_verification_failed_is_not_well(provost: type[FakeProvost]) -> None:
    run = run_in("COMPLETED")
    run.checks.add(name="no action failed", ok=False, detail="a1 FAILED")
    provost.answers |= {
        "process_log": run,
        "start_run": run,
        "get_run": run,
        "list_runs": orchestrator_pb2.ListRunsResponse(runs=[run]),
    }
    for command in (("process", "-"), ("run", "sre-1", "t", "o", "--wait", "0"), ("runs", "show", "r")):
        for options in ((), ("--json",)):
            assert invoke(*command, *options, stdin=b"x").exit_code == 1, command
    listed = invoke("runs", "list")
    assert (listed.exit_code, "COMPLETED, 1 of 2 checks failed" in listed.output) == (0, True)


def test_a_list_of_runs_in_a_state_that_none_is_in_says_so(provost: type[FakeProvost]) -> None:
    provost.answers["list_runs"] = orchestrator_pb2.ListRunsResponse()
    assert "No run is WAITING." in invoke("runs", "list", "--state", "waiting").output
    assert "No runs yet: provost process FILE" in invoke("runs", "list").output


def test_a_log_may_come_from_standard_input_and_the_answer_be_json(provost: type[FakeProvost]) -> None:
    provost.answers["process_log"] = run_in("COMPLETED")
    result = invoke("process", "-", "--json", stdin=b"boom\n")
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert made["incident"]["cause"] == "disk_full"
    assert made["outcome"]["state"] == "COMPLETED"
    assert result.stdout.isascii()


@pytest.mark.parametrize(("name", "content"), [("none.log", None), ("empty.log", b" \n"), (".", None)])
def test_a_file_that_is_no_log_is_said_so_before_anyone_is_asked(
    provost: type[FakeProvost], tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = invoke("process", str(tmp_path / name))
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr
    assert provost.asked == []


def test_misuse_is_exit_code_two(provost: type[FakeProvost]) -> None:
    assert invoke("process", "-", "--mode", "yolo").exit_code == 2
    assert invoke("runs", "list", "--state", "done").exit_code == 2
    assert invoke("agents", "register", "a", "--tier", "T9").exit_code == 2
    assert invoke("no-such-command").exit_code == 2


def test_when_nothing_runs_it_says_how_to_start(provost: type[FakeProvost]) -> None:
    provost.answers["process_log"] = errors.Unreachable(errors.GATEWAY_UNREACHABLE, "refused")
    provost.there = False
    result = invoke("process", "-", stdin=b"x")
    assert result.exit_code == 3
    assert "make run" in result.stderr
    assert "127.0.0.1:7000: refused" in result.stderr
    assert "--request-id" not in result.stderr
    assert len(provost.asked) == 1


def test_whoever_gets_no_answer_about_a_run_is_told_how_to_ask_for_it_again(
    provost: type[FakeProvost],
) -> None:
    away = errors.Unreachable(errors.GATEWAY_UNREACHABLE, "reset")
    provost.answers["process_log"] = [away, away]
    result = invoke("process", "-", stdin=b"x")
    assert result.exit_code == 3
    (first, again) = (options["request_id"] for _, _, options in provost.asked)
    assert first == again != ""
    assert f"`--request-id {first}`" in result.stderr
    provost.answers["process_log"] = errors.Unreachable("DEADLINE_EXCEEDED", "no answer came within 300 s")
    result = invoke("process", "-", "--request-id", "r-1", stdin=b"x")
    assert (result.exit_code, len(provost.asked)) == (3, 3)
    assert "`--request-id r-1`" in result.stderr
    provost.answers["process_log"] = [away, run_in("COMPLETED")]
    result = invoke("process", "-", stdin=b"x")
    assert (result.exit_code, "runs list" in result.stderr) == (0, False)


def test_only_of_the_address_here_it_is_said_that_it_runs_here(
    provost: type[FakeProvost], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "run.json").write_text(json.dumps({"grpc": "127.0.0.1:7077"}))
    provost.answers["status"] = errors.Unreachable(errors.GATEWAY_UNREACHABLE, "refused")
    assert "It says it runs here" in invoke("status").stderr
    assert "It says it runs here" not in invoke("status", "--address", "elsewhere:7000").stderr


def test_of_a_run_that_was_killed_it_is_said_that_it_has_ended(
    provost: type[FakeProvost], tmp_path: Path
) -> None:
    away = errors.Unreachable(errors.GATEWAY_UNREACHABLE, "refused")
    provost.answers |= {"status": away, "list_runs": away}
    settings = ServiceSettings(_env_file=None)
    with Place(tmp_path / "home") as place:
        place.announce(settings, tmp_path / "keys", {})
        announced = place.run_file.read_bytes()
        assert "It says it runs here" in invoke("status").stderr
    place.run_file.write_bytes(announced)  # what kill -9 leaves behind; the lock is given up
    for command in (("status",), ("runs", "list")):
        result = invoke(*command)
        assert (result.exit_code, "provost status --wait" in result.stderr) == (3, False)
        assert "has ended without saying so: `make run` goes on where it was" in result.stderr
    assert "has ended" not in invoke("status", "--address", "elsewhere:7000").stderr


def test_every_command_takes_the_authority_and_says_when_it_does_not_trust_the_gateway(
    provost: type[FakeProvost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = f"{errors.NOT_TRUSTED} (self signed): is ca_file the authority that issued its certificate?"
    untrusted = errors.Unreachable(errors.GATEWAY_UNREACHABLE, why)
    provost.answers |= {"status": untrusted, "list_agents": untrusted}
    result = invoke("status")
    assert (result.exit_code, provost.authorities) == (3, [None])
    assert result.stderr.startswith(f"127.0.0.1:7000: {why}\nPROVOST_CA_FILE is not set")
    authority = tmp_path / "authority.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----")
    monkeypatch.setenv("PROVOST_CA_FILE", str(authority))
    for command in (("status",), ("agents", "list")):
        result = invoke(*command)
        assert (result.exit_code, provost.authorities[-1]) == (3, authority)
        assert f"PROVOST_CA_FILE says {authority}" in result.stderr
        assert "Nobody answers" not in result.stderr
    authority.unlink()
    assert "PROVOST_CA_FILE: " in invoke("status").stderr


def test_what_the_gateway_refuses_is_told_with_its_reason(provost: type[FakeProvost]) -> None:
    provost.answers["process_log"] = errors.NotAuthenticated("KEY_UNKNOWN", "not one of ours\x1b[2J")
    result = invoke("process", "-", "--key", "s3cret-canary", stdin=b"x")
    assert result.exit_code == 1
    assert "KEY_UNKNOWN" in result.stderr
    assert "\x1b" not in result.stderr
    assert "canary" not in result.output
    provost.answers["process_log"] = errors.Unreachable("PEER_UNREACHABLE", "orchestrator is away")
    result = invoke("process", "-", stdin=b"x")
    assert result.exit_code == 3
    assert "provost status" in result.stderr


@pytest.mark.parametrize("reason", ["DEADLINE_EXCEEDED", "PEER_UNREACHABLE"])
def test_without_an_answer_to_a_change_it_says_that_it_may_have_taken_effect_and_where_to_look(
    provost: type[FakeProvost], reason: str
) -> None:
    provost.answers["revoke"] = errors.Unreachable(reason, "no answer", {"request_id": "r1"})
    result = invoke("agents", "revoke", "sre-1")
    assert result.exit_code == 3
    assert "Whether it took effect is not known" in result.stderr
    assert "provost events tail" in result.stderr
    provost.answers["list_runs"] = errors.Unreachable(reason, "no answer")
    assert "took effect" not in invoke("runs", "list").stderr


def status_of(healthy: bool) -> gateway_pb2.GetStatusResponse:
    component = gateway_pb2.ComponentStatus(name="ledger", healthy=healthy, lag_events=12, detail="d\x1b[1m")
    return gateway_pb2.GetStatusResponse(healthy=healthy, components=[component], version="0.1.0")


def test_status_is_zero_only_if_all_is_well(provost: type[FakeProvost]) -> None:
    provost.answers["status"] = status_of(True)
    result = invoke("status")
    assert result.exit_code == 0
    assert "12 events" in result.output
    assert "All is well" in result.output
    provost.answers["status"] = status_of(False)
    assert invoke("status").exit_code == 1
    assert json.loads(invoke("status", "--json").stdout)["components"][0]["lag_events"] == 12


def test_status_waits_until_all_is_well(provost: type[FakeProvost]) -> None:
    away = errors.Unreachable(errors.GATEWAY_UNREACHABLE, "")
    provost.answers["status"] = [away, status_of(False), status_of(True)]
    assert invoke("status", "--wait", "30").exit_code == 0
    provost.answers["status"] = away
    assert invoke("status").exit_code == 3
    result = invoke("status", "--json")
    assert (result.exit_code, json.loads(result.stdout)["healthy"]) == (3, False)


def test_each_command_shows_the_key_that_fits_it(provost: type[FakeProvost], tmp_path: Path) -> None:
    keys = tmp_path / "home" / "keys" / "api-keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(
        json.dumps({role: f"{role}-key" for role in ("operator", "approver", "auditor", "admin")})
    )
    provost.answers |= {
        "list_agents": policy_pb2.ListAgentsResponse(),
        "list_approvals": policy_pb2.ListApprovalsResponse(),
        "answer_approval": policy_pb2.Approval(state=policy_pb2.APPROVAL_STATE_APPROVED, run_id="r-1"),
        "register_agent": policy_pb2.Agent(agent_id="new", tier=policy_pb2.TIER_T1_OPERATOR),
        "create_secret": policy_pb2.CreateSecretResponse(role_id="r", secret_id="s"),
        "rebuild_ledger": [ledger_pb2.RebuildLedgerResponse(events=2, done=True, swapped=True)],
        "rebuild_store": state_pb2.RebuildStoreResponse(events=2),
        "verify_store": state_pb2.VerifyStoreResponse(equal=True),
        "verify_ledger": ledger_pb2.VerifyLedgerResponse(ok=True),
    }
    for arguments, key in (
        (("agents", "list"), "operator-key"),
        (("approvals", "list"), "approver-key"),
        (("approvals", "approve", "a-1", "--comment", "go"), "approver-key"),
        (("agents", "register", "new", "--tier", "t1"), "admin-key"),
        (("ledger", "rebuild"), "admin-key"),
        (("ledger", "verify"), "operator-key"),
        (("state", "rebuild"), "admin-key"),
        (("state", "verify"), "auditor-key"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, (arguments, result.output)
        assert provost.made[-1] == ("127.0.0.1:7000", key), arguments
    assert ("answer_approval", ("a-1",), {"vote": "APPROVE", "comment": "go"}) in provost.asked


@pytest.mark.parametrize("option", ["--key", "--address"])
def test_nobody_acts_with_the_key_here_because_a_variable_was_empty(
    provost: type[FakeProvost], option: str
) -> None:
    for command in (("approvals", "approve", "a-1"), ("agents", "list"), ("ledger", "verify")):
        result = invoke(*command, option, "")
        assert result.exit_code == 2, command
        assert f"{option} was given, and is empty" in result.stderr
    assert invoke("status", "--address", "").exit_code == 2
    assert (provost.made, provost.asked) == ([], [])


def test_votes_are_told_and_given(provost: type[FakeProvost]) -> None:
    provost.answers |= {
        "list_approvals": policy_pb2.ListApprovalsResponse(
            approvals=[
                policy_pb2.Approval(
                    approval_id="a-1",
                    needed=2,
                    votes=[policy_pb2.ApprovalVote(by="key:ann", vote=policy_pb2.VOTE_APPROVE)],
                )
            ]
        ),
        "answer_approval": policy_pb2.Approval(state=policy_pb2.APPROVAL_STATE_PENDING, needed=3),
    }
    assert json.loads(invoke("approvals", "list", "--json").output)[0]["votes"][0]["by"] == "key:ann"
    assert "1 of 2" in invoke("approvals", "list").output
    assert "0 of 3: more are needed" in invoke("approvals", "approve", "a-1").output
    assert invoke("approvals", "request-changes", "a-1").exit_code == 2, "a comment says which changes"
    assert "say what to ask for" in invoke("approvals", "request-changes", "a-1", "--comment", " ").stderr
    assert invoke("approvals", "request-changes", "a-1", "--comment", "one host first").exit_code == 0
    asked = ("answer_approval", ("a-1",), {"vote": "REQUEST_CHANGES", "comment": "one host first"})
    assert provost.asked[-1] == asked


def test_a_promotion_that_waits_fits_a_terminal(provost: type[FakeProvost]) -> None:
    grounds = {
        "from": "T3_EXECUTOR", "to": "T4_ARCHITECT", "since": "2026-03-01T03:00:00.000000+00:00", "rule": "",
        "policy_version": "1", "compliant_in_row": "0", "violations": "0", "run_ids": "",
    }  # fmt: skip
    promotions = [
        grounds,
        grounds | {"compliant_in_row": "1", "violations": "2", "rule": "steady", "odd": "x"},
    ]
    provost.answers["list_approvals"] = policy_pb2.ListApprovalsResponse(
        approvals=[
            policy_pb2.Approval(action=policy_pb2.Action(name="agent.promote", parameters=each))
            for each in promotions
        ]
    )
    said = invoke("approvals", "list").output
    assert "agent.promote T3 → T4, 0 verified runs  " in said
    assert "agent.promote T3 → T4, 1 verified run, 2 violations, by rule steady, odd=x  " in said
    assert "run_ids" not in said
    assert json.loads(invoke("approvals", "list", "--json").output)[0]["action"]["parameters"] == grounds


def test_what_does_not_hold_ends_with_one(provost: type[FakeProvost]) -> None:
    provost.answers |= {
        "verify_ledger": ledger_pb2.VerifyLedgerResponse(
            checks=[ledger_pb2.VerifyLedgerResponse.Check(name="root", detail="differs")],
            first_bad_sequence=7,
        ),
        "rebuild_ledger": [ledger_pb2.RebuildLedgerResponse(done=True, detail="root differs")],
        "verify_store": state_pb2.VerifyStoreResponse(differing_keys=["agent:{default/x}:state"]),
    }
    verified = invoke("ledger", "verify")
    assert (verified.exit_code, "sequence 7" in verified.output) == (1, True)
    assert invoke("ledger", "rebuild").exit_code == 1
    store = invoke("state", "verify")
    assert (store.exit_code, "agent:{default/x}:state" in store.output) == (1, True)


def test_a_run_without_a_log_is_started_and_waited_for(provost: type[FakeProvost]) -> None:
    provost.answers |= {"start_run": run_in("RUNNING"), "get_run": run_in("COMPLETED")}
    assert invoke("run", "sre-1", "task-1", "look at the disks", "--wait", "5").exit_code == 0
    assert [name for name, _, _ in provost.asked] == ["start_run", "get_run"]
    assert provost.asked[1][2] == {"wait_seconds": 5}


def test_a_run_needs_an_objective(provost: type[FakeProvost]) -> None:
    told = invoke("run", "sre-1", "task-1", " ")
    assert (told.exit_code, "objective is empty" in told.stderr, provost.asked) == (2, True, [])


def test_a_wait_of_any_length_is_asked_for_in_parts(provost: type[FakeProvost]) -> None:
    provost.answers |= {"get_run": [run_in("RUNNING"), run_in("WAITING")]}
    assert invoke("runs", "show", "r", "--wait", "600").exit_code == 4
    assert [options["wait_seconds"] for _, _, options in provost.asked] == [240, 240]
    assert invoke("runs", "show", "r", "--wait", "3000000000").exit_code == 2


def test_whoever_cannot_wait_is_told_which_run_it_is(provost: type[FakeProvost]) -> None:
    provost.answers |= {
        "start_run": run_in("RUNNING"),
        "get_run": errors.Unreachable("PEER_UNREACHABLE", "away"),
    }
    told = invoke("run", "sre-1", "task-1", "look at the disks")
    assert (told.exit_code, f"provost runs show {full_run().run_id}\n" in told.stderr) == (3, True)


def test_lists_show_what_there_is_or_that_there_is_nothing(provost: type[FakeProvost]) -> None:
    provost.answers |= {
        "list_runs": orchestrator_pb2.ListRunsResponse(runs=[full_run()]),
        "list_events": ledger_pb2.ListEventsResponse(
            events=[ledger_pb2.LedgerEvent(sequence=5, subject="evt.default.policy.agent.sre-1.AgentRevoked")]
        ),
        "list_approvals": policy_pb2.ListApprovalsResponse(),
        "tree_head": ledger_pb2.GetTreeHeadResponse(
            tree_head=ledger_pb2.TreeHead(checkpoint="provost\n5\nroot\n"), verifier_key="provost+1+k"
        ),
    }
    assert "disk_full" in invoke("runs", "list").output
    assert json.loads(invoke("runs", "list", "--json").stdout)[0]["run_id"] == "r"
    assert "policy.agent.sre-1" in invoke("ledger", "list", "--run", "r").output
    assert "Nothing waits" in invoke("approvals", "list").output
    assert "provost+1+k" in invoke("ledger", "head").output


def test_a_policy_set_in_a_file_is_the_one_that_was_published_byte_for_byte(
    provost: type[FakeProvost], monkeypatch: pytest.MonkeyPatch
) -> None:
    rego = (
        "package x\n\n" + '\tallow if input.action.name == "service.restart"' * 9 + "  # größer, \u2028\n\n"
    )
    provost.answers["get_policy_set"] = policy_pb2.GetPolicySetResponse(version="v1\x1b", document=rego)
    for width in ("40", "200"):
        monkeypatch.setenv("COLUMNS", width)
        result = invoke("policy", "show")
        assert result.stdout_bytes == rego.encode()
        assert r"# version v1\x1b" in result.stderr


def test_a_policy_set_on_a_terminal_keeps_its_lines_and_acts_on_nothing(
    provost: type[FakeProvost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    document = "tiers:\n\tT0: \x1b[2J" + " and more" * 9 + "\x0b\n"
    provost.answers["get_policy_set"] = policy_pb2.GetPolicySetResponse(version="v1", document=document)
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", screen)
    app(["policy", "show"], standalone_mode=False)
    assert screen.getvalue() == "tiers:\n\tT0: \\x1b[2J" + " and more" * 9 + "\\x0b\n"


def test_tiers_have_short_and_long_names() -> None:
    assert tier_of("T1") == tier_of("t1_operator") == policy_pb2.TIER_T1_OPERATOR
    with pytest.raises(errors.InvalidRequest, match="no tier"):
        tier_of("UNSPECIFIED")


def test_the_command_line_says_which_version_it_is(
    provost: type[FakeProvost], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"provost {version('provost')}\n")
    assert "Govern agents" in invoke("--help").stdout

    def not_installed(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", not_installed)
    assert "not installed" in invoke("--version").stdout
    assert provost.made == []


def test_help_needs_neither_grpc_nor_rich() -> None:
    import subprocess
    import sys

    code = (
        "import sys, provost_sdk.cli.app; print([m for m in ('grpc', 'rich', 'google') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
