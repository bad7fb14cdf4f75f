"""How the tests of a policy set come out. What custom rules say to each is told, for they are evaluated elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from services.policy.domain.action import Packet, RunContext
from services.policy.domain.agent import AGENT, Agent, AgentRegistered
from services.policy.domain.decision import judge
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_tests import Given, SetTest, TestOutcome
from services.policy.domain.question import Judgement, Question
from services.policy.domain.rules import RuleOutcome, rule_input

_AGENT, _TASK, _RUN = "test-agent", "test-task", "test-run"


def input_of(test: SetTest) -> Mapping[str, Any]:
    """What the custom rules are told of it."""
    given = test.given
    context = RunContext(_RUN, _TASK, _AGENT, given.mode, steps_done=given.steps_done)
    return rule_input(given.action, context, _agent(given), _packet(given), given.labels, given.at_seconds)


def results(policy: PolicySet, said: Sequence[RuleOutcome]) -> Iterator[TestOutcome]:
    """One for each test of the set; `said` is what the custom rules say to each."""
    for n, (test, rules) in enumerate(zip(policy.tests, said, strict=True)):
        judgement = _judged(policy, test.given, rules)
        wrong = _wrong(test, judgement)
        yield TestOutcome(test.name, f"tests/{n}", not wrong, wrong)


def _judged(policy: PolicySet, given: Given, rules: RuleOutcome) -> Judgement:
    return judge(
        Question(
            given.action,
            given.mode,
            _AGENT,
            _TASK,
            _agent(given),
            _packet(given),
            policy,
            given.labels,
            given.steps_done,
            rules=rules,
        )
    )


def _wrong(test: SetTest, judgement: Judgement) -> str:
    expected = test.expected
    pairs = (
        ("verdict", expected.verdict, judgement.verdict.value),
        ("reason", expected.reason, judgement.reason),
        ("rule", expected.rule, judgement.rule),
    )
    for what, wanted, got in pairs:
        if wanted and wanted != got:
            return f"the {what} is {got}, not {wanted}: {judgement.explanation}"
    return ""


def _agent(given: Given) -> Agent:
    at = datetime.fromtimestamp(given.at_seconds, UTC)
    return AGENT.fold([AgentRegistered(_AGENT, given.tier, "1", "test-role", at)])


def _packet(given: Given) -> Packet:
    return Packet(_AGENT, _TASK, given.scope, given.forbidden, given.required_steps)
