"""Custom rules: evaluated, remembered, and never believed when they cannot be evaluated."""

import asyncio

import pytest

from services.policy.adapters.rego.plan import plan_of, projected
from services.policy.adapters.rego.rules import RegoRules
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.rules import SILENCE, RuleOutcome, Said
from tests.unit.policy.rego_words import (
    DRAINS,
    set_of,
    told,
)


def test_whoever_looks_at_all_of_the_input_is_told_all_of_it() -> None:
    plan = plan_of([RegoModule("a", 'package provost.rules.a\n\ndeny contains "x" if walk(input)\n')])
    (group,) = plan.groups
    assert group.paths == ((),)
    assert projected(told(), group.paths) == told()


def test_only_what_is_looked_at_is_told() -> None:
    paths = (("action", "name"), ("run",), ("missing", "part"))
    assert projected(told(), paths) == {"action": {"name": "node.drain"}, "run": {"labels": []}}


def test_rules_say_no_and_ask_for_people(rules: RegoRules) -> None:
    policy = set_of(RegoModule("drains", DRAINS))
    said = rules.judge(
        policy, [told(), told(labels=("secret",)), told(seconds=5), told("service.restart", ("secret",))]
    )
    denial = (Said("drains", "n1 is drained by a run that has read secrets"),)
    assert list(said) == [
        SILENCE,
        RuleOutcome(denial),
        RuleOutcome((), (Said("night", "at night"),)),
        SILENCE,
    ]
    assert list(rules.judge(policy, [told(labels=("secret",))])) == [RuleOutcome(denial)]


def test_many_modules_that_look_at_other_things_agree_with_each_by_itself(rules: RegoRules) -> None:
    bodies = (
        'input.action.name == "node.drain"',
        'input.run.labels[_] == "a"',
        "input.time.unix_seconds > 3",
        "input.q",
    )
    modules = [
        RegoModule(f"m{n}", f'package provost.rules.m{n}\n\ndeny contains "{n}" if {body}\n')
        for n, body in enumerate(bodies)
    ]
    inputs = [
        told(name, labels, at) for name in ("node.drain", "x") for labels in ((), ("a",)) for at in (1, 9)
    ]
    together = rules.judge(set_of(*modules), inputs)
    apart = [rules.judge(set_of(module), inputs) for module in modules]
    for n, said in enumerate(together):
        assert said.denied == tuple(each for one in apart for each in one[n].denied)
        assert not said.failed


@pytest.mark.parametrize(
    "body",
    ["to_number(input.action.name) == 1", "nobody_knows(input.action.name)"],
)
def test_what_cannot_be_evaluated_is_a_failure_and_never_silence(rules: RegoRules, body: str) -> None:
    policy = set_of(RegoModule("bad", f'package provost.rules.bad\n\ndeny contains "x" if {body}\n'))
    (said,) = rules.judge(policy, [told()])
    assert said.failed
    assert not said.denied


def test_what_fails_among_many_fails_alone(rules: RegoRules) -> None:
    numbered = 'package provost.rules.n\n\ndeny contains "odd" if to_number(input.action.name) % 2 == 1\n'
    policy = set_of(RegoModule("n", numbered), RegoModule("drains", DRAINS))
    odd, failed, even = rules.judge(policy, [told("5"), told("five", ("secret",)), told("4")])
    assert odd == RuleOutcome((Said("n", "odd"),))
    assert failed.failed.startswith("n.rego:3: to_number")
    assert even == SILENCE


@pytest.mark.parametrize(
    "message", ["1", '{"id": "x"}', "null", '{"id": 4, "text": "y"}', r'{"id": "x\n", "text": "y"}']
)
def test_a_message_that_is_none_is_a_failure(rules: RegoRules, message: str) -> None:
    policy = set_of(RegoModule("odd", f"package provost.rules.odd\n\ndeny contains {message} if true\n"))
    (said,) = rules.judge(policy, [told()])
    assert "neither a text nor an object" in said.failed


async def test_others_go_on_while_the_rules_are_asked() -> None:
    rules, policy = RegoRules(), set_of(RegoModule("drains", DRAINS))
    inputs = [told(), told(labels=("secret",)), told()]
    hearing = asyncio.create_task(rules.hear(policy, inputs))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not hearing.done()
    heard = await hearing
    assert any(said.denied for said in heard)
    assert list(await rules.hear(policy, inputs)) == list(heard)
    await rules.stop()
    apart = RegoRules()
    assert list(apart.judge(policy, inputs)) == list(heard)
    apart.end()


def test_a_sets_memory_goes_with_it(rules: RegoRules) -> None:
    policy = set_of(RegoModule("drains", DRAINS))
    rules.judge(policy, [told()])
    assert len(rules._plans) == 1
    del policy
    assert len(rules._plans) == 0


def test_it_is_told_which_module_has_failed(rules: RegoRules) -> None:
    bad = 'package provost.rules.bad\n\ndeny contains "x" if to_number(input.action.target) > 1\n'
    (said,) = rules.judge(set_of(RegoModule("drains", DRAINS), RegoModule("bad", bad)), [told()])
    assert said.failed.startswith("bad.rego:3: to_number")
