"""Reads a policy set from a loaded mapping, and says where it is wrong. Knows nothing of YAML."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from services.policy.domain.action import ENVIRONMENTS, Action, Mode
from services.policy.domain.demand import PROMOTE
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_reading import (
    TIERS,
    Problems,
    action_patterns,
    listed,
    mapping,
    name,
    number,
    one_of,
    some_of,
    text,
    texts,
    tier,
    tiers,
)
from services.policy.domain.policyset_rules import ApprovalRule, Capability
from services.policy.domain.policyset_sections import SECTIONS, approvers, read_rules
from services.policy.domain.policyset_tests import Expected, Given, SetTest
from services.policy.domain.question import Verdict
from services.policy.domain.tier import Tier

MAX_ACTIONS = 500
MAX_TESTS = 2000
TTL_SECONDS = range(60, 86_401)
APPROVAL_SECONDS = range(60, 30 * 86_400 + 1)
LAST_SECOND = 253_402_300_799
"""Of the year 9999."""

_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_GIVEN = ("target", "environment", "mode", "labels", "parameters", "packet", "steps_done", "at_unix_seconds")


def read(document: object) -> PolicySet:
    """The compiled set.

    Raises:
        PolicySetInvalid: naming the path of the first thing wrong, as `tiers/T1_OPERATOR/capabilities/0/actions`.
    """
    problems = Problems()
    found = read_all(document, problems)
    if problems.found or found is None:
        raise problems.found[0]
    return found


def read_all(document: object, problems: Problems) -> PolicySet | None:
    """The compiled set, unless something was found wrong: `problems` has all of it."""
    with problems.noted():
        top = mapping(
            document, "", ("version", "actions", "tiers"), optional=("approvals", "tests", *SECTIONS)
        )
        version = name(top["version"], "version")
        actions = _actions(top["actions"])
        ttl_seconds, capabilities = _tiers(top["tiers"], actions, problems)
        approvals = problems.named(
            top.get("approvals", ()), "approvals", lambda v, p: _approval_rule(v, p, actions)
        )
        rules = read_rules(top, actions, problems)
        tests = problems.each(top.get("tests", ()), "tests", _test, MAX_TESTS)
        if not problems.found:
            return PolicySet(version, actions, ttl_seconds, tuple(capabilities), approvals, rules, tests)
    return None


def _actions(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not 0 < len(value) <= MAX_ACTIONS:
        raise PolicySetInvalid(f"must name 1 to {MAX_ACTIONS} actions, each with a description", "actions")
    for action, description in value.items():
        if not isinstance(action, str) or _ACTION.fullmatch(action) is None:
            raise PolicySetInvalid(f"{action!r} is not a name like 'service.restart'", f"actions/{action}")
        text(description, f"actions/{action}")
    return dict(value)


def _tiers(
    value: object, actions: Mapping[str, str], problems: Problems
) -> tuple[dict[Tier, int], list[Capability]]:
    ttl_seconds: dict[Tier, int] = {}
    capabilities: list[Capability] = []
    entries = mapping(value, "tiers", TIERS)
    for each in Tier:
        path = f"tiers/{each}"
        with problems.noted():
            entry = mapping(entries[each], path, ("token_ttl_seconds", "capabilities"))
            with problems.noted():
                least, most = TTL_SECONDS.start, TTL_SECONDS.stop - 1
                ttl_seconds[each] = number(
                    entry["token_ttl_seconds"], f"{path}/token_ttl_seconds", least, most
                )
            capabilities += problems.each(
                entry["capabilities"],
                f"{path}/capabilities",
                partial(_capability, actions, each),
            )
    return ttl_seconds, capabilities


def _capability(actions: Mapping[str, str], of: Tier, value: object, path: str) -> Capability:
    entry = mapping(value, path, ("actions", "environments"), optional=("targets",))
    return Capability(
        of,
        action_patterns(entry["actions"], f"{path}/actions", actions),
        some_of(ENVIRONMENTS, entry["environments"], f"{path}/environments"),
        texts(entry.get("targets", ("*",)), f"{path}/targets"),
    )


def _approval_rule(value: object, path: str, actions: Mapping[str, str]) -> ApprovalRule:
    conditions = ("tiers", "actions", "environments")
    entry = mapping(value, path, ("id",), optional=(*conditions, "needs", "approvers", "ttl_seconds"))
    needs = number(entry.get("needs", 1), f"{path}/needs", 1, 100)
    named = approvers(entry.get("approvers", ()), f"{path}/approvers")
    if named and needs > len(named):
        raise PolicySetInvalid(
            f"{needs} can never say yes: there are {len(named)} approvers", f"{path}/needs"
        )
    least, most = APPROVAL_SECONDS.start, APPROVAL_SECONDS.stop - 1
    return ApprovalRule(
        name(entry["id"], f"{path}/id"),
        tiers(entry.get("tiers", TIERS), f"{path}/tiers"),
        action_patterns(entry.get("actions", ("*",)), f"{path}/actions", {**actions, PROMOTE: ""}),
        some_of(ENVIRONMENTS, entry.get("environments", ENVIRONMENTS), f"{path}/environments"),
        needs,
        named,
        number(entry.get("ttl_seconds", 3600), f"{path}/ttl_seconds", least, most),
    )


def _test(value: object, path: str) -> SetTest:
    entry = mapping(value, path, ("name", "given", "expect"))
    given = mapping(entry["given"], f"{path}/given", ("action", "tier"), optional=_GIVEN)
    expect = mapping(entry["expect"], f"{path}/expect", ("verdict",), optional=("reason", "rule"))
    verdicts = tuple(verdict.value for verdict in Verdict)
    return SetTest(
        text(entry["name"], f"{path}/name"),
        _given(given, f"{path}/given"),
        Expected(
            one_of(verdicts, expect["verdict"], f"{path}/expect/verdict"),
            text(expect["reason"], f"{path}/expect/reason") if "reason" in expect else "",
            text(expect["rule"], f"{path}/expect/rule") if "rule" in expect else "",
        ),
    )


def _given(given: Mapping[Any, Any], path: str) -> Given:
    packet = mapping(given.get("packet", {}), f"{path}/packet", (), ("scope", "forbidden", "required_steps"))
    modes = tuple(mode.value.lower() for mode in Mode)
    parameters = given.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise PolicySetInvalid("must be a mapping of texts", f"{path}/parameters")
    action = Action(
        "test",
        text(given["action"], f"{path}/action"),
        text(given.get("target", "test-target"), f"{path}/target"),
        one_of(ENVIRONMENTS, given.get("environment", "sandbox"), f"{path}/environment"),
        {
            text(key, path): text(value, f"{path}/parameters/{key}", 10_000, least=0)
            for key, value in parameters.items()
        },
    )
    return Given(
        action,
        tier(given["tier"], f"{path}/tier"),
        Mode(one_of(modes, given.get("mode", "auto"), f"{path}/mode").upper()),
        _maybe(given.get("labels", ()), f"{path}/labels"),
        _maybe(packet.get("scope", ()), f"{path}/packet/scope"),
        _maybe(packet.get("forbidden", ()), f"{path}/packet/forbidden"),
        _maybe(packet.get("required_steps", ()), f"{path}/packet/required_steps"),
        _maybe(given.get("steps_done", ()), f"{path}/steps_done"),
        number(given.get("at_unix_seconds", 0), f"{path}/at_unix_seconds", most=LAST_SECOND),
    )


def _maybe(value: object, path: str) -> tuple[str, ...]:
    return texts(value, path) if listed(value, path) else ()
