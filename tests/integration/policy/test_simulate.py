"""The time machine on a real nats-server: a process of its own decides what is recorded again, and tells what flips."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest

from chassis import process
from chassis.eventlog.api import call
from chassis.eventlog.headers import block
from chassis.eventlog.subject_keys import KEYS, NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.rpc.cause import metadata_of
from kernel.events import Cause
from kernel.faults import Invalid
from kernel.ports import Seal
from provost.policy.v1 import policy_pb2 as pb
from services.policy.adapters.simulating.frames import HEAD_BYTES, PROGRESS, head_of
from services.policy.adapters.simulating.running import ChildSimulations
from services.policy.domain.action import Mode
from services.policy.domain.amounts import Amounts
from services.policy.domain.approval import ApprovalRequested, ApprovalUsed
from services.policy.domain.budget import BudgetReserved
from services.policy.domain.closing import Closing
from services.policy.domain.decision import DecisionRecord, Verdict
from services.policy.domain.flips import Simulated, Simulation
from services.policy.domain.policyset_published import PolicySetPublished
from services.policy.domain.reservation import Reservation, ReservationEnd
from services.policy.domain.revocation import AgentRevoked
from services.policy.domain.tier import Tier
from services.policy.domain.votes import ApprovalAnswered
from tests.fakes.decided_history import AT, SETS, TENANT, Written, an_agent, approved, changed, decided
from tests.fakes.nats_server import NatsServer
from tests.fakes.wait import until
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import Caller, ask, put_packet

NO_CHECKS = changed("2", ("actions: [ansible.check]", "actions: [service.restart]"))
"""T1 may restart services where it could run checks."""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "sealing.key"


@pytest.fixture
async def simulations(
    nats_server: NatsServer, events: Connection, key_file: Path
) -> AsyncIterator[ChildSimulations]:
    keys = await NatsSubjectKeys(events, key_file, "tests").start()
    yield ChildSimulations(nats_server.url, key_file)
    await keys.stop()
    await call(events, f"STREAM.DELETE.{KEYS}")  # others' keys are wrapped with files of their own


async def told(simulations: ChildSimulations, asked: Simulation) -> tuple[Simulated, list[Simulated]]:
    """The last that was told, and all."""
    async with aclosing(simulations.run(asked)) as telling:
        every = [each async for each in telling]
    assert every[-1].done
    return every[-1], every


def flips_of(every: list[Simulated]) -> list[tuple[str, Verdict, Verdict, str]]:
    return [
        (flip.action.name, flip.before, flip.after, flip.after_reason)
        for each in every
        for flip in each.flips
    ]


async def test_every_decision_that_comes_out_otherwise_is_told_and_counted(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    await log.decisions([decided() for _ in range(20)] + [decided("ansible.check")])
    await log.decisions([decided("service.restart"), decided("ansible.check", environment="staging")])
    last, every = await told(simulations, Simulation(TENANT, NO_CHECKS))
    assert flips_of(every) == [
        ("ansible.check", "ALLOW", "DENY", "ENVIRONMENT_NOT_ALLOWED"),
        ("service.restart", "DENY", "ALLOW", "ALLOWED_BY_TIER"),
        ("ansible.check", "ALLOW", "DENY", "ENVIRONMENT_NOT_ALLOWED"),
    ]
    totals = last.totals
    assert (totals.decisions, totals.flips, totals.left_out) == (23, 3, {})
    assert totals.by_change == {"ALLOW>DENY": 2, "DENY>ALLOW": 1}
    assert totals.by_agent == {"sre-1": 3}
    assert totals.by_action == {"ansible.check": 2, "service.restart": 1}
    assert totals.position == 4
    first, last_of_all = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    ever, _ = await told(simulations, Simulation(TENANT, NO_CHECKS, first, last_of_all))
    assert (ever.totals.decisions, ever.totals.flips) == (23, 3)


async def test_the_set_it_was_decided_under_flips_nothing(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    agent = an_agent("boss", Tier.T4_ARCHITECT)
    await log.agent(agent)
    for mode in Mode:
        for environment in ("sandbox", "production", "moon"):
            names = ("diagnostics.disk", "hardware.replace", "no.such")
            await log.decisions(
                [decided(name, agent=agent, mode=mode, environment=environment) for name in names]
            )
    last, _ = await told(simulations, Simulation(TENANT, SETS.default_document))
    assert (last.totals.decisions, last.totals.flips, last.totals.left_out) == (27, 0, {})


async def test_what_was_approved_stays_allowed_where_no_more_is_asked_for(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    agent = an_agent("exec", Tier.T3_EXECUTOR)
    await log.agent(agent)
    waits = decided("service.restart", agent=agent, environment="production")
    assert waits.verdict is Verdict.NEEDS_APPROVAL
    await log.decisions([waits])
    allowed = approved(waits)
    requested = ApprovalRequested(
        "approval-1", waits.action, allowed.action_digest, waits.run_id, waits.task_id, waits.agent_id,
        "service:orchestrator", "", AT, AT, rule=waits.rule,
    )  # fmt: skip
    for event in (
        requested,
        ApprovalAnswered("approval-1", waits.run_id, True, "key:alice", "", AT),
        ApprovalUsed("approval-1", allowed.decision_id, waits.run_id, AT),
    ):
        await log.put("policy", "approval", "approval-1", event)
    await log.decisions([allowed])
    same = changed("2", ("Restarts one service.", "Restarts a service."))
    last, _ = await told(simulations, Simulation(TENANT, same))
    assert (last.totals.decisions, last.totals.flips) == (2, 0)
    two = changed("3", ("  - id: production\n", "  - id: production\n    needs: 2\n"))
    _, every = await told(simulations, Simulation(TENANT, two))
    assert flips_of(every) == [("service.restart", "ALLOW", "NEEDS_APPROVAL", "APPROVAL_REQUIRED")]
    others = changed("4", ("  - id: production\n", "  - id: production\n    approvers: [key:bob]\n"))
    _, every = await told(simulations, Simulation(TENANT, others))
    assert flips_of(every) == [("service.restart", "ALLOW", "NEEDS_APPROVAL", "APPROVAL_REQUIRED")]
    none = changed("4", ("  - id: production\n    environments: [production]\n", ""))
    _, every = await told(simulations, Simulation(TENANT, none))
    assert flips_of(every) == [("service.restart", "NEEDS_APPROVAL", "ALLOW", "ALLOWED_BY_TIER")]


async def test_facts_are_those_of_then(simulations: ChildSimulations, events: Connection) -> None:
    log = Written(events)
    await log.agent(an_agent())
    await log.decisions([decided("ansible.check")])
    await log.packet("sre-1", forbidden=["ansible.*"])
    forbidden = replace(decided("ansible.check"), verdict=Verdict.DENY, reason="FORBIDDEN_BY_PACKET")
    await log.decisions([forbidden])
    await log.packet("sre-1")
    await log.put("policy", "agent", "sre-1", AgentRevoked("sre-1", "operator", "", "key:ops", AT))
    revoked = replace(decided("ansible.check"), verdict=Verdict.DENY, reason="AGENT_REVOKED")
    expired = replace(revoked, decision_id="another", rule="token", reason="TOKEN_EXPIRED")
    await log.decisions([revoked, expired])
    last, every = await told(simulations, Simulation(TENANT, NO_CHECKS))
    assert flips_of(every) == [("ansible.check", "ALLOW", "DENY", "ENVIRONMENT_NOT_ALLOWED")]
    assert (last.totals.decisions, last.totals.left_out) == (4, {})


async def test_labels_count_whether_the_decision_says_them_or_the_log(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    agent = an_agent("exec", Tier.T3_EXECUTOR)
    await log.agent(agent)
    flow = "flows:\n  - id: no-restarts\n    labels: [secret]\n    actions: [service.restart]\n"
    tight = changed("2", ("flows:\n", flow))
    await log.decisions([decided("service.restart", agent=agent, run_id="clean")])
    await log.decisions([decided("service.restart", agent=agent, run_id="says", labels=("secret",))])
    await log.labelled("exec", "old", "secret")
    await log.decisions([decided("service.restart", agent=agent, run_id="old")])
    _, every = await told(simulations, Simulation(TENANT, tight))
    assert [flip.run_id for each in every for flip in each.flips] == ["says", "old"]
    assert {flip.after_rule for each in every for flip in each.flips} == {"flow.no-restarts"}


async def test_what_would_not_come_out_as_recorded_is_left_out(
    simulations: ChildSimulations, events: Connection
) -> None:
    """As when a packet was replaced between a decision and its place in the log: that is no fault of the new set."""
    log = Written(events)
    await log.agent(an_agent())
    await log.packet("sre-1", forbidden=["diagnostics.*"])
    await log.decisions([decided()])
    last, _ = await told(simulations, Simulation(TENANT, NO_CHECKS))
    assert (last.totals.flips, last.totals.left_out) == (0, {"not_reproduced": 1})
    assert (last.totals.decisions, last.totals.decided) == (1, 0)


async def test_what_is_no_event_is_passed_over_as_policy_passed_it_over(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    twice = block("ce-type: provost.policy.v1.AgentRevoked\r\nce-actor: x\r\nce-actor: x\r\n")
    for subject, header in (
        ("policy.agent.sre-1.AgentRevoked", twice),
        ("state.agent.sre-1.PacketIssued", b""),
    ):
        await events.ask(f"evt.{TENANT}.{subject}", b"{}", header=header, timeout_seconds=5.0)
    await log.decisions([decided()])
    last, _ = await told(simulations, Simulation(TENANT, SETS.default_document))
    assert (last.totals.flips, last.totals.left_out, last.totals.decided) == (0, {}, 1)


async def test_a_set_that_was_in_force_for_a_while_is_known(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    await log.put("policy", "policyset", "current", PolicySetPublished("2", NO_CHECKS, "key:admin", AT))
    policy = SETS.read(NO_CHECKS)
    await log.decisions([decided("service.restart", policy=policy), decided("ansible.check", policy=policy)])
    _, every = await told(simulations, Simulation(TENANT, SETS.default_document))
    assert flips_of(every) == [
        ("service.restart", "ALLOW", "DENY", "TIER_TOO_LOW"),
        ("ansible.check", "DENY", "ALLOW", "ALLOWED_BY_TIER"),
    ]


async def test_only_what_is_asked_for_is_decided_again(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    for agent_id in ("sre-1", "sre-2"):
        await log.agent(an_agent(agent_id))
    for second in range(10):
        records = [
            decided("ansible.check", agent=an_agent(each), after_seconds=second)
            for each in ("sre-1", "sre-2")
        ]
        await log.decisions(records)
    late, until = AT.replace(second=3), AT.replace(second=7)
    last, _ = await told(simulations, Simulation(TENANT, NO_CHECKS, late, until))
    assert (last.totals.decisions, last.totals.flips) == (8, 8)
    last, _ = await told(simulations, Simulation(TENANT, NO_CHECKS, late, until, "sre-2"))
    assert (last.totals.decisions, last.totals.by_agent) == (4, {"sre-2": 4})
    last, _ = await told(simulations, Simulation("another", NO_CHECKS))
    assert last.totals.decisions == 0


async def test_as_many_flips_are_told_as_were_asked_for_and_all_are_counted(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    for _ in range(5):
        await log.decisions([decided("ansible.check") for _ in range(200)])
    last, every = await told(simulations, Simulation(TENANT, NO_CHECKS, max_flips=150))
    assert (last.totals.flips, len(flips_of(every))) == (1000, 150)
    assert max(len(each.flips) for each in every) <= 100


def sealed(record: DecisionRecord, seal: Seal) -> DecisionRecord:
    """As policy writes it down."""
    action = record.action
    parameters = {name: seal.seal(value) for name, value in action.parameters.items()}
    return replace(record, action=replace(action, target=seal.seal(action.target), parameters=parameters))


async def test_other_budgets_are_drawn_on_anew(simulations: ChildSimulations, events: Connection) -> None:
    log = Written(events)
    agent = an_agent()
    await log.agent(agent)
    budget = "budgets:\n  - id: few\n    scope: run\n    limits: {actions: 3}\n\npromotions:\n"
    tight = changed("2", ("promotions:\n", budget))
    for run_id in ("a", "b"):
        await log.decisions([decided("ansible.check", run_id=run_id) for _ in range(4)])
    await log.decisions([decided("ansible.check", run_id="safe", mode=Mode.SAFE) for _ in range(9)])
    last, every = await told(simulations, Simulation(TENANT, tight))
    assert [(flip.run_id, flip.after_reason, flip.after_rule) for each in every for flip in each.flips] == [
        ("a", "BUDGET_SPENT", "budget.set.few"),
        ("b", "BUDGET_SPENT", "budget.set.few"),
    ]
    policy = SETS.read(tight)
    await log.put("policy", "policyset", "current", PolicySetPublished("2", tight, "key:admin", AT))
    spent = replace(
        decided("ansible.check", run_id="c", policy=policy),
        verdict=Verdict.DENY, reason="BUDGET_SPENT", rule="budget.set.few",
    )  # fmt: skip
    await log.decisions([spent], "budget")
    last, every = await told(simulations, Simulation(TENANT, tight.replace('version: "2"', 'version: "3"')))
    assert (last.totals.flips, last.totals.left_out) == (2, {})
    _, every = await told(simulations, Simulation(TENANT, changed("4")))
    assert flips_of(every) == [("ansible.check", "DENY", "ALLOW", "ALLOWED_BY_TIER")]


def with_budget(version: str, budget: str) -> str:
    return changed(version, ("promotions:\n", f"budgets:\n  - {{id: few, {budget}}}\n\npromotions:\n"))


async def test_sealed_hosts_are_counted_once(
    simulations: ChildSimulations, events: Connection, key_file: Path
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    keys = await NatsSubjectKeys(events, key_file, "test").start()
    seal = await keys.of_subject(TENANT, "alice")
    await keys.stop()
    for _ in range(3):
        record = sealed(decided("ansible.check", target="host-a"), seal)
        hosts = (seal.seal_same("host-a"),)
        charged = Amounts(1, hosts=hosts)
        closing = Closing(f"d-{record.decision_id}", ReservationEnd.SETTLED, charged, "service:tests", AT)
        await log.spent(record, hosts, closing)
    await log.decisions([sealed(decided("ansible.check", target="host-a"), seal)])
    asked = Simulation(TENANT, with_budget("2", "scope: agent, limits: {hosts: 1}"))
    last, _ = await told(simulations, asked)
    assert (last.totals.decided, last.totals.by_change) == (4, {})
    await log.decisions([sealed(decided("ansible.check", target="host-b"), seal)])
    last, _ = await told(simulations, asked)
    assert (last.totals.decided, last.totals.by_change) == (5, {"ALLOW>DENY": 1})


async def test_what_others_spend_of_the_same_budget_counts_where_one_agent_is_asked_about(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    one, two = an_agent(), an_agent("sre-2")
    for each in (one, two):
        await log.agent(each)
    await log.decisions([decided("ansible.check", agent=two) for _ in range(3)])
    await log.decisions([decided("ansible.check", agent=one)])
    shared = with_budget("2", "scope: tenant, limits: {actions: 3}")
    last, every = await told(simulations, Simulation(TENANT, shared, agent_id="sre-1"))
    assert flips_of(every) == [("ansible.check", "ALLOW", "DENY", "BUDGET_SPENT")]
    assert (last.totals.decisions, last.totals.decided, last.totals.by_agent) == (1, 1, {"sre-1": 1})
    alone = with_budget("2", "scope: agent, limits: {actions: 3}")
    last, _ = await told(simulations, Simulation(TENANT, alone, agent_id="sre-1"))
    assert (last.totals.decisions, last.totals.flips) == (1, 0)


async def test_what_was_set_aside_by_itself_and_what_was_recorded_twice_is_spent_once(
    simulations: ChildSimulations, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    amounts, expires = Amounts(tokens=3), AT + timedelta(minutes=5)
    by_itself = Reservation("r-1", "sre-1", "run-1", "task-1", amounts, (), "", AT, expires)
    await log.put("policy", "budget", "all", BudgetReserved((by_itself,)))
    record = replace(decided("ansible.check"), cost=Amounts(tokens=3))
    await log.decisions([record])
    await log.decisions([record])
    await log.decisions([replace(decided("ansible.check"), cost=Amounts(tokens=3))])
    for most, flips in ((9, 0), (8, 1)):
        asked = Simulation(TENANT, with_budget("2", f"scope: agent, limits: {{tokens: {most}}}"))
        last, _ = await told(simulations, asked)
        assert (last.totals.decisions, last.totals.flips) == (2, flips), most


RULE = """rules:
  - id: not_there
    rego: |
      package provost.rules.not_there
      import rego.v1
      deny contains "hands off" if input.action.target == "host-13"
      approve contains "ask first" if input.action.target == "host-7"

promotions:
"""


async def test_custom_rules_are_asked(simulations: ChildSimulations, events: Connection) -> None:
    log = Written(events)
    await log.agent(an_agent())
    await log.decisions([decided("ansible.check", target=f"host-{n % 20}") for n in range(60)])
    with_rule = changed("2", ("promotions:\n", RULE))
    last, every = await told(simulations, Simulation(TENANT, with_rule))
    assert last.totals.by_change == {"ALLOW>DENY": 3, "ALLOW>NEEDS_APPROVAL": 3}
    assert {(flip.action.target, flip.after_rule) for each in every for flip in each.flips} == {
        ("host-13", "rule.not_there"),
        ("host-7", "rule.not_there"),
    }
    with pytest.raises(Invalid) as refused:
        await told(simulations, Simulation(TENANT, with_rule.replace("if input", "iff input")))
    assert refused.value.reason == "POLICY_SET_INVALID"
    assert "line" in refused.value.facts["place"]


async def test_what_is_sealed_is_opened_and_what_is_erased_is_left_out(
    simulations: ChildSimulations, events: Connection, key_file: Path
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    keys = await NatsSubjectKeys(events, key_file, "test").start()
    kept, gone = await keys.of_subject(TENANT, "alice"), await keys.of_subject(TENANT, "bob")
    record, other = decided("ansible.check", target="host-a"), decided("ansible.check", target="host-b")
    await log.decisions([sealed(record, kept), sealed(other, gone)])
    await keys.delete(TENANT, keys.subject_id(TENANT, "bob"), gone.key_id)
    await keys.stop()
    capability = (
        "- actions: [ansible.check]\n        environments: [sandbox, staging, production]\n        targets: "
    )
    narrow = changed("2", (f'{capability}["*"]', f'{capability}["db-*"]'))
    last, every = await told(simulations, Simulation(TENANT, narrow))
    (flip,) = [flip for each in every for flip in each.flips]
    assert (flip.action.target, flip.action.parameters, flip.after_reason) == (
        "host-a",
        {"top": "5"},
        "OUT_OF_SCOPE",
    )
    assert (last.totals.decisions, last.totals.left_out) == (2, {"erased": 1})
    assert last.totals.decided == 1


async def test_what_it_logs_does_not_come_between_what_it_tells(
    nats_server: NatsServer, events: Connection, key_file: Path
) -> None:
    await Written(events).agent(an_agent())
    asked = {
        "nats_url": nats_server.url,
        "sealing_key_file": str(key_file),
        "tls_files": [],
        "simulation": asdict(Simulation(TENANT, NO_CHECKS)),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.policy.adapters.simulating",
        stdin=PIPE, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    told, logged = await child.communicate(json.dumps(asked).encode() + b"\n")
    await call(events, f"STREAM.DELETE.{KEYS}")
    kinds = []
    while told:
        kind, length = head_of(told[:HEAD_BYTES])
        kinds.append(kind)
        told = told[HEAD_BYTES + length :]
    assert set(kinds) == {PROGRESS}
    assert b"nats connection closed" in logged


async def test_a_set_that_could_not_go_live_is_told_with_its_place(simulations: ChildSimulations) -> None:
    with pytest.raises(Invalid) as refused:
        await told(simulations, Simulation(TENANT, "version: 1\nactions: {}\n"))
    assert refused.value.reason == "POLICY_SET_INVALID"


async def test_whoever_goes_away_ends_it(
    simulations: ChildSimulations, events: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    for _ in range(20):
        await log.decisions([decided("ansible.check") for _ in range(500)])
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await start(*arguments, **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    async with aclosing(simulations.run(Simulation(TENANT, NO_CHECKS, max_flips=10_000))) as telling:
        assert not (await anext(telling)).done
    (process,) = started
    assert process.returncode == -9


async def test_over_grpc_what_was_just_decided_is_decided_again(
    policy: PolicyProcess, channel: grpc.aio.Channel, events: Connection
) -> None:
    caller = Caller(channel)
    registered = pb.RegisterAgentRequest(request_id="r", agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
    await caller.call("RegisterAgent", registered)
    sequence = await put_packet(events, "sre-1")
    for n in range(5):
        answer = await caller.call("Authorize", ask(f"a-{n}", "ansible.check", sequence))
        assert answer.decision.verdict == pb.VERDICT_ALLOW
    cause = Cause("default", "", "key:auditor", process.now())
    call_ = caller.stub.SimulatePolicySet(
        pb.SimulatePolicySetRequest(document=NO_CHECKS),
        timeout=30,
        metadata=metadata_of(cause, roles=("auditor",)),
    )
    answers = [each async for each in call_]
    assert answers[-1].done
    assert dict(answers[-1].totals.by_change) == {"ALLOW>DENY": 5}
    flips = [flip for each in answers for flip in each.flips]
    assert {flip.after_rule for flip in flips} == {"tier.T1_OPERATOR"}
    assert len(flips) == 5


async def test_a_caller_that_goes_away_leaves_no_process_behind(
    policy: PolicyProcess, channel: grpc.aio.Channel, events: Connection
) -> None:
    log = Written(events)
    await log.agent(an_agent())
    for _ in range(30):
        await log.decisions([decided("ansible.check") for _ in range(500)])
    cause = Cause("default", "", "key:auditor", process.now())
    call_ = Caller(channel).stub.SimulatePolicySet(
        pb.SimulatePolicySetRequest(document=NO_CHECKS, max_flips=15_000),
        metadata=metadata_of(cause, roles=("auditor",)),
    )
    assert not (await call_.read()).done
    assert simulating(policy.pid)
    call_.cancel()
    await until(lambda: not simulating(policy.pid), "the process goes on though nobody asks any more")


def simulating(pid: int) -> list[int]:
    """The processes that policy has started to simulate."""
    found: list[int] = []
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if b"simulating" in Path(f"/proc/{each}/cmdline").read_bytes():
                found.append(int(each))
    return found
