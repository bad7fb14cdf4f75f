"""Policy sets over gRPC: read, looked over, compared, published, taken back; nothing half good ever goes live."""

import asyncio
import json
import re
import threading
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from kernel.faults import Denied, Exhausted, Invalid, NotFound, Refused, Unavailable
from provost.policy.v1 import events_pb2
from provost.policy.v1 import policy_pb2 as pb
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego.rules import RegoRules
from tests.rpc.policy.conftest import Running, action, context

RULES = """
rules:
  - id: quiet_hosts
    rego: |
      package provost.rules.quiet_hosts

      deny contains "db-1 is left alone" if input.action.target == "db-1"

      approve contains {"id": "ask", "text": "ask first"} if input.action.target == "db-2"
    test: |
      package provost.rules.quiet_hosts_test

      import data.provost.rules.quiet_hosts

      test_db_1 if count(quiet_hosts.deny) == 1 with input as {"action": {"target": "db-1"}}
"""


def other(document: str, version: str, tail: str = "") -> str:
    return document.replace('version: "1"', f'version: "{version}"', 1) + tail


async def default(running: Running) -> str:
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    return str(shown.document)


async def publish(running: Running, document: str, replaces: str, request_id: str = "p") -> Any:
    request = pb.PublishPolicySetRequest(
        request_id=f"{request_id}-{replaces}", document=document, replaces_version=replaces, why="because"
    )
    return await running.call("PublishPolicySet", request, roles=("admin",))


async def authorize(running: Running, target: str) -> pb.Decision:
    request = pb.AuthorizeRequest(request_id=f"ask-{target}", context=context(), action=action(target=target))
    answer = await running.call("Authorize", request, roles=("service",))
    decision: pb.Decision = answer.decision
    return decision


async def test_custom_rules_decide_once_they_are_published(running: Running) -> None:
    await running.register()
    await running.packet()
    await publish(running, other(await default(running), "2", RULES), "1")
    refused, asked, allowed = [await authorize(running, target) for target in ("db-1", "db-2", "db-3")]
    assert (refused.verdict, refused.reason, refused.rule) == (
        pb.VERDICT_DENY,
        "RULE_DENIED",
        "rule.quiet_hosts",
    )
    assert "db-1 is left alone" in refused.explanation
    assert (asked.verdict, asked.rule) == (pb.VERDICT_NEEDS_APPROVAL, "rule.ask")
    assert (allowed.verdict, allowed.policy_version) == (pb.VERDICT_ALLOW, "2")


@pytest.mark.parametrize(
    ("tail", "reason", "said"),
    [
        ("flows:\n  - {id: x, labels: [nobody], actions: ['*']}\n", "POLICY_SET_INVALID", "second time"),
        (RULES.replace("== 1 with", "== 7 with"), "POLICY_SET_TESTS_FAILED", "quiet_hosts.test_db_1"),
        (RULES.replace("if input", "iff input"), "POLICY_SET_INVALID", "line "),
        (RULES.replace("deny contains", "deny :="), "POLICY_SET_INVALID", "deny contains msg"),
        (
            RULES + "budgets:\n  - {id: b, scope: run, limits: {tokens: -1}}\n",
            "POLICY_SET_INVALID",
            "must be 0 to",
        ),
        (
            "budgets:\n  - {id: b, scope: run, limits: {tokens: 99999999999999999999}}\n",
            "POLICY_SET_INVALID",
            "must be 0 to",
        ),
        ("# " + "x" * 1024 * 1024, "POLICY_SET_INVALID", "and may have 1048576 (1 MiB): name what"),
    ],
)
async def test_a_set_that_is_wrong_anywhere_never_goes_live(
    running: Running, tail: str, reason: str, said: str
) -> None:
    document = other(await default(running), "2", tail)
    with pytest.raises((Invalid, Refused)) as refused:
        await publish(running, document, "1")
    assert refused.value.reason == reason
    assert said in refused.value.text
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    assert shown.version == "1"


async def test_publishing_tells_every_problem_with_its_place_too(running: Running) -> None:
    first = await default(running)
    document = (
        other(first, "2").replace("  T4_ARCHITECT:\n", "  T9_GOD: {}\n  T4_ARCHITECT:\n", 1) + "frobs: 1\n"
    )
    lines = document.splitlines()
    god, end = lines.index("  T9_GOD: {}") + 1, len(lines)
    calls = (
        publish(running, document, "1"),
        running.call("DiffPolicySets", pb.DiffPolicySetsRequest(new_document=document)),
    )
    for call in calls:
        with pytest.raises(Invalid) as refused:
            await call
        fault = refused.value
        assert (fault.reason, fault.facts["problems"]) == ("POLICY_SET_INVALID", "2")
        assert [field for field, _ in fault.errors] == ["tiers/T9_GOD", "frobs"]
        assert fault.errors[0][1].startswith(
            f"line {god}, column 3: 'T9_GOD' is unknown; known are T0_OBSERVER"
        )
        assert fault.errors[1][1].startswith(f"line {end}, column 1: 'frobs' is unknown")
        assert f"line {god}, column 3 at tiers/T9_GOD" in fault.text
        assert f"; line {end}, column 1 at frobs" in fault.text


async def test_of_many_problems_the_first_are_told_and_how_many_there_are(running: Running) -> None:
    document = other(await default(running), "2", "".join(f"stranger{n}: 1\n" for n in range(50)))
    with pytest.raises(Invalid) as refused:
        await publish(running, document, "1")
    assert refused.value.facts["problems"] == "50"
    assert "and 47 more: `provost policy validate` tells all" in refused.value.text
    assert len(refused.value.errors) >= 5


async def test_a_version_that_was_used_is_told_where_it_stands(running: Running) -> None:
    first = await default(running)
    await publish(running, other(first, "2"), "1")
    await publish(running, other(first, "3"), "2")
    document = "# again\n" + other(first, "2")
    with pytest.raises(Invalid) as refused:
        await publish(running, document, "3")
    ((field, text),) = refused.value.errors
    line, column = (int(each) for each in re.findall(r"line (\d+), column (\d+): ", text)[0])
    assert document.splitlines()[line - 1][column - 1 :] == '"2"'
    assert (field, "'2' was published with other rules: give it a new one" in text) == ("version", True)


async def test_validating_tells_every_problem_with_its_place(running: Running) -> None:
    document = (
        (await default(running))
        .replace("token_ttl_seconds: 3600", "token_ttl_seconds: 5")
        .replace("tier: T2_BUILDER\n    compliant_in_row", "tier: T9\n    compliant_in_row")
    )
    found = await running.call("ValidatePolicySet", pb.ValidatePolicySetRequest(document=document))
    lines = document.splitlines()
    assert len(found.problems) == 2
    for problem in found.problems:
        shown = lines[problem.line - 1]
        assert ("5" in shown) if "ttl" in problem.path else ("T9" in shown), problem
        assert shown[problem.column - 1 :].startswith(("5", "T9"))


async def test_so_many_are_looked_over_and_who_publishes_does_not_wait_for_them(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody may have sets validated: a flood of them is refused, and stops neither decisions nor a set's return."""
    await running.register()
    await running.packet()
    first, free, look = await default(running), threading.Event(), YamlPolicySets.look

    def slow(reader: YamlPolicySets, document: str) -> Any:
        if document == "slow":
            free.wait(60)
        return look(reader, document)

    monkeypatch.setattr(YamlPolicySets, "look", slow)
    request = pb.ValidatePolicySetRequest(document="slow")
    flood = [asyncio.create_task(running.call("ValidatePolicySet", request)) for _ in range(12)]
    try:
        done, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert done, "as many as there are may wait"
        with pytest.raises(Exhausted) as refused:
            await done.pop()
        assert refused.value.reason == "TOO_MANY_DOCUMENTS"
        assert (await authorize(running, "db-1")).verdict == pb.VERDICT_ALLOW
        assert (await publish(running, other(first, "2"), "1")).version == "2"
    finally:
        free.set()
    ends = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(each, Exhausted) for each in ends) == 2


async def test_whoever_goes_away_leaves_its_place_taken_until_its_thread_has_ended(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever asks and hangs up again and again takes every thread there is."""
    first, free, look = await default(running), threading.Event(), YamlPolicySets.look
    at_work: list[str] = []

    def slow(reader: YamlPolicySets, document: str) -> Any:
        if document.startswith("slow"):
            at_work.append(document)
            free.wait(60)
        return look(reader, document)

    monkeypatch.setattr(YamlPolicySets, "look", slow)
    replacing, gone = running.policy.replacing, list[asyncio.Task[Any]]()
    try:
        for n in range(4):
            asking = [asyncio.create_task(replacing.validate(f"slow {n}{m}")) for m in "ab"]
            await publish(running, other(first, str(n + 2)), str(n + 1))  # long enough for them to begin
            for each in asking:
                each.cancel()
            gone += asking
            await asyncio.wait(asking)
        assert (at_work, all(each.cancelled() for each in gone)) == (["slow 0a", "slow 0b"], True)
    finally:
        free.set()
    request = pb.ValidatePolicySetRequest(document=other(first, "9"))
    assert (await running.call("ValidatePolicySet", request)).version == "9", "their places are free again"


async def test_what_was_looked_over_here_comes_back_without_being_looked_over_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, looked, look = await default(running), [], YamlPolicySets.look

    def counted(reader: YamlPolicySets, document: str) -> Any:
        looked.append(document)
        return look(reader, document)

    await publish(running, other(first, "2", RULES), "1")
    await publish(running, other(first, "3"), "2")
    monkeypatch.setattr(YamlPolicySets, "look", counted)
    for to, replaces in (("2", "3"), ("1", "2")):
        back = pb.RollbackPolicySetRequest(request_id=to, to_version=to, replaces_version=replaces)
        await running.call("RollbackPolicySet", back, roles=("admin",))
    assert looked == [first], "the built-in one was not published here"


async def test_validating_a_good_set_tells_its_tests_and_what_may_surprise(running: Running) -> None:
    document = other(await default(running), "2", RULES).replace(
        'actions: ["diagnostics.*"]', 'actions: ["diagnostics.*", diagnostics.disk]'
    )
    found = await running.call("ValidatePolicySet", pb.ValidatePolicySetRequest(document=document))
    assert not found.problems
    assert found.version == "2"
    assert all(test.passed for test in found.tests)
    assert "quiet_hosts.test_db_1" in {test.name for test in found.tests}
    (overlap,) = (each for each in found.warnings if "overlaps" in each.text)
    assert document.splitlines()[overlap.line - 1][overlap.column - 1 :].startswith("diagnostics.disk")
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    assert shown.version == "1", "looking changes nothing"


async def test_a_test_may_be_at_any_second_that_there_is(running: Running) -> None:
    def at(second: int) -> str:
        given = f"given: {{action: diagnostics.disk, tier: T0_OBSERVER, at_unix_seconds: {second}}}"
        return f"  - {{name: late, {given}, expect: {{verdict: ALLOW}}}}\n"

    first = await default(running)
    last = pb.ValidatePolicySetRequest(document=other(first, "2", at(253402300799)))
    found = await running.call("ValidatePolicySet", last)
    assert (list(found.problems), found.tests[-1].passed) == ([], True)
    beyond = pb.ValidatePolicySetRequest(document=other(first, "2", at(253402300800)))
    (problem,) = (await running.call("ValidatePolicySet", beyond)).problems
    assert (problem.path, problem.text) == (
        f"tests/{len(found.tests) - 1}/given/at_unix_seconds",
        "must be 0 to 253402300799, not 253402300800",
    )


async def test_a_flaw_in_a_rule_is_told_by_its_line_in_the_document(running: Running) -> None:
    tail = RULES.replace('input.action.target == "db-1"', 'target == "db-1"')
    document = other(await default(running), "2", tail)
    found = await running.call("ValidatePolicySet", pb.ValidatePolicySetRequest(document=document))
    (problem,) = found.problems
    assert "var target is unsafe" in problem.text
    assert document.splitlines()[problem.line - 1][problem.column - 1 :].startswith("target ==")


async def test_a_rule_whose_head_is_misspelt_is_told_by_its_line_and_never_goes_live(
    running: Running,
) -> None:
    rule = RULES.split("    test: |", maxsplit=1)[0].replace("deny contains", "denied contains")
    document = other(await default(running), "2", rule.split("\n\n      approve")[0] + "\n")
    found = await running.call("ValidatePolicySet", pb.ValidatePolicySetRequest(document=document))
    (problem,) = found.problems
    assert document.splitlines()[problem.line - 1][problem.column - 1 :].startswith("denied contains")
    assert "neither `deny` nor `approve`" in problem.text
    with pytest.raises(Invalid, match="denied") as refused:
        await publish(running, document, "1")
    assert refused.value.reason == "POLICY_SET_INVALID"
    assert (await running.call("GetPolicySet", pb.GetPolicySetRequest())).version == "1"


async def test_a_rule_that_nobody_reads_beside_a_good_one_is_told_and_goes_live(running: Running) -> None:
    denied = 'denied := "db-3 is left alone" if input.action.target == "db-3"\n\n      approve contains'
    document = other(await default(running), "2", RULES.replace("approve contains", denied))
    found = await running.call("ValidatePolicySet", pb.ValidatePolicySetRequest(document=document))
    assert not found.problems
    (warning,) = found.warnings
    assert document.splitlines()[warning.line - 1][warning.column - 1 :].startswith("denied :=")
    assert "no rule reads `denied`, so it changes no decision" in warning.text
    answer = await publish(running, document, "1")
    assert (answer.version, list(answer.warnings)) == ("2", [warning])


async def test_a_rule_without_a_test_is_told(running: Running) -> None:
    first = await default(running)

    async def told(tail: str) -> list[tuple[int, str]]:
        request = pb.ValidatePolicySetRequest(document=other(first, "2", tail))
        found = await running.call("ValidatePolicySet", request)
        assert not found.problems
        return [(each.line, each.text) for each in found.warnings if "`test`" in each.text]

    assert await told(RULES) == []
    ((line, text),) = await told(RULES.split("    test: |", maxsplit=1)[0])
    assert "quiet_hosts has no `test`" in text
    assert other(first, "2", RULES).splitlines()[line - 1].strip() == "- id: quiet_hosts"


async def test_a_set_taken_back_is_in_force_as_it_was(running: Running) -> None:
    await running.register()
    await running.packet()
    first = await default(running)
    published = await publish(running, other(first, "2", RULES), "1")
    await publish(running, other(first, "3"), "2")
    assert (await authorize(running, "db-1")).verdict == pb.VERDICT_ALLOW
    back = pb.RollbackPolicySetRequest(request_id="r1", to_version="2", replaces_version="3", why="too wide")
    assert (await running.call("RollbackPolicySet", back, roles=("admin",))).version == "2"
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    assert shown.document == other(first, "2", RULES)
    again = pb.AuthorizeRequest(request_id="again", context=context(), action=action(target="db-1"))
    assert (await running.call("Authorize", again, roles=("service",))).decision.reason == "RULE_DENIED"
    listed = await running.call("ListPolicySets", pb.ListPolicySetsRequest())
    assert [(each.version, each.rolled_back_to, each.in_force) for each in listed.sets] == [
        ("2", True, True), ("3", False, False), ("2", False, False),
    ]  # fmt: skip
    assert listed.sets[0].why == "too wide"
    assert listed.sets[0].sequence == shown.sequence
    assert [each.sequence for each in listed.sets] == sorted(
        {each.sequence for each in listed.sets}, reverse=True
    )
    assert listed.sets[2].sequence == published.sequence
    assert listed.sets[0].sha256 == listed.sets[2].sha256 != listed.sets[1].sha256


async def test_the_built_in_set_is_there_to_go_back_to(running: Running) -> None:
    """As `publish` says it: also from the first set that a tenant has published, and from none."""
    first = await default(running)

    async def back(replaces: str) -> Any:
        request = pb.RollbackPolicySetRequest(
            request_id=f"r{replaces}", to_version="1", replaces_version=replaces
        )
        return await running.call("RollbackPolicySet", request, roles=("admin",))

    assert (await back("1")).version == "1", "it is in force already"
    await publish(running, other(first, "2"), "1")
    answered = await back("2")
    shown = await running.call("GetPolicySet", pb.GetPolicySetRequest())
    assert (shown.version, shown.document, shown.sequence) == ("1", first, answered.sequence)


async def test_lists_of_sets_come_in_pages(running: Running) -> None:
    first = await default(running)
    for n in range(2, 7):
        await publish(running, other(first, str(n)), str(n - 1))
    seen, token = [], ""
    for _ in range(4):
        page = await running.call("ListPolicySets", pb.ListPolicySetsRequest(page_size=2, page_token=token))
        seen += [each.version for each in page.sets]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["6", "5", "4", "3", "2"]
    with pytest.raises(Invalid):
        await running.call("ListPolicySets", pb.ListPolicySetsRequest(page_token="x"))


async def test_older_sets_are_read_by_their_version(running: Running) -> None:
    first = await default(running)
    await publish(running, other(first, "2"), "1")
    await publish(running, other(first, "3"), "2")
    assert (await running.call("GetPolicySet", pb.GetPolicySetRequest(version="2"))).document == other(
        first, "2"
    )
    assert (await running.call("GetPolicySet", pb.GetPolicySetRequest(version="1"))).document == first
    with pytest.raises(NotFound) as unknown:
        await running.call("GetPolicySet", pb.GetPolicySetRequest(version="9"))
    assert unknown.value.reason == "POLICY_SET_UNKNOWN"
    back = pb.RollbackPolicySetRequest(request_id="r", to_version="9", replaces_version="3")
    with pytest.raises(NotFound):
        await running.call("RollbackPolicySet", back, roles=("admin",))
    with pytest.raises(Denied):
        await running.call("RollbackPolicySet", back, roles=("operator",))


async def test_what_differs_is_told_row_by_row(running: Running) -> None:
    first = await default(running)
    wider = other(first, "2").replace(
        '      - actions: [service.restart]\n        environments: [sandbox]\n        targets: ["*"]\n',
        '      - actions: [service.restart]\n        environments: [sandbox, staging]\n        targets: ["*"]\n',
    )
    assert wider != other(first, "2")
    request = pb.DiffPolicySetsRequest(
        new_document=wider.replace("token_ttl_seconds: 3600", "token_ttl_seconds: 600")
    )
    found = await running.call("DiffPolicySets", request)
    assert (found.old_version, found.new_version) == ("1", "2")
    assert [(each.kind, each.tier, each.environment, each.action, each.wider) for each in found.differences] == [
        ("capability", pb.TIER_T2_BUILDER, "staging", "service.restart", True),
        ("ttl", pb.TIER_T0_OBSERVER, "", "", False),
    ]  # fmt: skip
    with pytest.raises(Invalid):
        await running.call("DiffPolicySets", pb.DiffPolicySetsRequest())


async def test_the_schema_that_sets_are_checked_against_is_published(running: Running) -> None:
    shown = await running.call("GetPolicySetSchema", pb.GetPolicySetSchemaRequest())
    assert shown.schema == YamlPolicySets().schema
    schema = json.loads(shown.schema)
    Draft202012Validator.check_schema(schema)
    good = YAML(typ="safe", pure=True).load(await default(running))
    assert not list(Draft202012Validator(schema).iter_errors(good))
    (problem,) = Draft202012Validator(schema).iter_errors(good | {"version": "no version"})
    assert list(problem.absolute_path) == ["version"]


async def test_rules_that_cannot_be_evaluated_deny(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await running.register()
    await running.packet()
    await publish(running, other(await default(running), "2", RULES), "1")
    monkeypatch.setattr(RegoRules, "_ask", lambda *_: {"failed": "the interpreter is not there"})
    decision = await authorize(running, "db-2")
    assert (decision.verdict, decision.reason) == (pb.VERDICT_DENY, "RULE_FAILED")


def large(document: str) -> str:
    test = "    given: {action: diagnostics.disk, tier: T0_OBSERVER}\n    expect: {verdict: ALLOW}\n"
    return document + "".join(f"  - name: test {n}\n{test}" for n in range(150))


async def test_a_large_set_is_read_apart_and_nothing_is_decided_by_another_meanwhile(
    running: Running,
) -> None:
    await running.register()
    await running.packet()
    document = large(other(await default(running), "2"))
    event = events_pb2.PolicySetPublished(version="2", document=document, by="key:admin")
    event.at.GetCurrentTime()
    headers = b"NATS/1.0\r\nce-type: provost.policy.v1.PolicySetPublished\r\n\r\n"
    subject = "evt.default.policy.policyset.current.PolicySetPublished"
    sequence = running.log.put(subject, event.SerializeToString(), headers)  # by another replica
    await running.follower.reached(sequence)
    with pytest.raises(Unavailable) as waiting:
        running.policy.policy_sets.in_force("default")
    assert waiting.value.reason == "DECIDER_STALE"
    async with asyncio.timeout(30):
        while True:
            try:
                decision = await authorize(running, "db-1")
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    assert (decision.verdict, decision.policy_version) == (pb.VERDICT_ALLOW, "2")
    assert {each.policy_version for each in await running.decisions()} == {"2"}


async def test_a_large_set_that_was_published_here_decides_at_once(running: Running) -> None:
    await running.register()
    await running.packet()
    await publish(running, large(other(await default(running), "2")), "1")
    assert (await authorize(running, "db-1")).policy_version == "2"


async def test_events_tell_labels_and_patience_to_those_who_read_no_documents(running: Running) -> None:
    plain = (await default(running)).split("# What data a run may have read")[0]
    await publish(running, other(plain, "2", "stuck_seconds: 5\nlabels: {ours: Ours alone.}\n"), "1")
    await publish(running, other(plain, "3"), "2")
    for version, replaces in (("2", "3"), ("1", "2")):
        back = pb.RollbackPolicySetRequest(to_version=version, replaces_version=replaces, why="to see it")
        await running.call("RollbackPolicySet", back, roles=("admin",))
    told: list[tuple[str, list[str] | None, int]] = []
    for recorded in running.log.recorded():
        if recorded.event_type.startswith("PolicySet"):
            event = getattr(events_pb2, recorded.event_type).FromString(recorded.payload)
            names = list(event.labels.names) if event.HasField("labels") else None
            told.append((recorded.event_type, names, event.stuck_seconds))
    assert told == [
        ("PolicySetPublished", ["ours"], 5),
        ("PolicySetPublished", None, 0),
        ("PolicySetRolledBack", ["ours"], 5),
        ("PolicySetPublished", ["secret", "personal"], 0),  # the built-in one had not been published before
    ]
