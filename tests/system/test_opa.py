"""The same requests, decided by Provost's own rules and by OPA's own engine over HTTP: the same answers."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.policy.adapters.opa import OpaServer
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.action import Action, Mode, Packet, RunContext
from services.policy.domain.decision import judge
from services.policy.domain.question import Question, Verdict
from services.policy.domain.rules import RuleOutcome, rule_input
from services.policy.domain.tier import Tier
from tests.fakes.opa_server import OpaProcess
from tests.unit.house.skeleton import REPOSITORY
from tests.unit.policy.words import agent

pytestmark = pytest.mark.system

REQUESTS = 1000
SEED = 4
TASK = "task-1"
SET = Path(__file__).with_name("opa_set.yaml")
POLICY = YamlPolicySets().check(SET.read_text("utf-8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpaProcess]:
    files = tmp_path_factory.mktemp("opa")
    subprocess.run([sys.executable, REPOSITORY / "deploy/opa/files.py", SET, files], check=True)
    process = OpaProcess(files)
    yield process
    process.stop()


def generated(chance: random.Random) -> tuple[Action, RunContext, Tier, Packet, tuple[str, ...], int]:
    """One request, any part of which may be what decides."""
    targets = [
        "db-1", "db-2.example", "web(1)", "web-1", "a\nb", "päckchen", "*", "x+y", "dbx1",
        "sudo\nrm -rf /", "sudo\\nrm -rf /",
        'say "db"', '"prod"', "DOMAIN\\x1", "DOMAINx1", "db\0-prod", "db-prod\0", "a\\b", "c\\d", "päckchen 1", "x\0\t",
        "[web]\n", "[web]\\n", "a*?", "a\\*?", 'x"]]]],"expressions":[[[[0,"deny",[]]]]],"y":[[[["',
    ]  # fmt: skip
    patterns = ["*", "service.*", "diagnostics.*", "node.drain", "*.restart", "nothing.*"]
    action = Action(
        "a1",
        chance.choice([*POLICY.actions, *POLICY.actions, "unknown.action"]),
        chance.choice(targets),
        chance.choice(["sandbox", "staging", "production", "moon"]),
        {
            chance.choice(["replicas", "replicas", 're"pli\ncas']): chance.choice(["0", "1", "5"])
            for _ in range(chance.randrange(2))
        },
    )
    context = RunContext("run-1", TASK, "sre-1", chance.choice([*Mode, Mode.AUTO, Mode.AUTO, None]))
    packet = Packet(
        "sre-1",
        TASK,
        tuple(chance.sample(patterns, chance.choice([0, 0, 1, 2]))),
        tuple(chance.sample(patterns[1:], chance.choice([0, 0, 0, 1]))),
    )
    labels = tuple(chance.sample(["secret", "personal", "public"], chance.choice([0, 0, 1, 2])))
    return (
        action,
        context,
        chance.choice(list(Tier)),
        packet,
        labels,
        chance.choice([1_700_000_000, 1_700_300_000]),
    )


def verdict_of(outcome: RuleOutcome) -> Verdict:
    if outcome.denied:
        return Verdict.DENY
    return Verdict.NEEDS_APPROVAL if outcome.approvals else Verdict.ALLOW


async def test_a_thousand_requests_come_out_alike(server: OpaProcess) -> None:
    chance = random.Random(SEED)
    asked = [generated(chance) for _ in range(REQUESTS)]
    inputs = [
        rule_input(action, context, agent(tier), packet, labels, at)
        for action, context, tier, packet, labels, at in asked
    ]
    rules, opa = RegoRules(), OpaServer(server.url, deadline_seconds=10.0, all_seconds=100.0)
    try:
        said = rules.judge(POLICY, inputs)
        theirs = await opa.judge(inputs)
    finally:
        await opa.stop()
        await rules.stop()
    ours = [
        judge(
            Question(action, context.mode, "sre-1", TASK, agent(tier), packet, POLICY, labels, rules=outcome)
        )
        for (action, context, tier, packet, labels, _), outcome in zip(asked, said, strict=True)
    ]
    assert not [each.failed for each in (*said, *theirs) if each.failed]
    apart = [
        (inputs[n], ours[n].reason, theirs[n])
        for n in range(REQUESTS)
        if ours[n].verdict is not verdict_of(theirs[n])
    ]
    assert not apart, f"{len(apart)} of {REQUESTS} differ, as {apart[0]}"
    reasons = Counter(each.reason for each in ours)
    for reason in (
        "ALLOWED_BY_TIER", "ALLOWED_DRY_RUN", "APPROVAL_REQUIRED", "TIER_TOO_LOW", "OUT_OF_SCOPE",
        "FORBIDDEN_BY_PACKET", "FLOW_DENIED", "RULE_DENIED", "ACTION_UNKNOWN", "MODE_UNKNOWN",
        "ENVIRONMENT_NOT_ALLOWED",
    ):  # fmt: skip
        assert reasons[reason], f"nothing came out as {reason}: {reasons}"
    print(f"{REQUESTS} requests, the same answers: {dict(reasons.most_common())}")
