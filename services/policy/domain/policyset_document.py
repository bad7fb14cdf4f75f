"""Reads a policy set from a loaded mapping, and says where it is wrong. Knows nothing of YAML."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.policy.domain.action import ENVIRONMENTS
from services.policy.domain.faults import PolicySetInvalid
from services.policy.domain.pattern import first_match
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import ApprovalRule, Capability
from services.policy.domain.tier import Tier

MAX_ACTIONS = 500
MAX_RULES = 200
TTL_SECONDS = range(60, 86_401)

_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TIERS = tuple(tier.value for tier in Tier)


def read(document: object) -> PolicySet:
    """The compiled set.

    Raises:
        PolicySetInvalid: naming the path of what is wrong, as `tiers/T1_OPERATOR/capabilities/0/actions`.
    """
    top = _mapping(document, "", ("version", "actions", "tiers"), optional=("approvals",))
    version = _text(top["version"], "version")
    if _VERSION.fullmatch(version) is None:
        raise PolicySetInvalid("must be 1 to 64 letters, digits, '.', '_' and '-'", "version")
    actions = _actions(top["actions"])
    tiers = _mapping(top["tiers"], "tiers", _TIERS)
    ttl_seconds: dict[Tier, int] = {}
    capabilities: list[Capability] = []
    for tier in Tier:
        path = f"tiers/{tier}"
        entry = _mapping(tiers[tier], path, ("token_ttl_seconds", "capabilities"))
        ttl_seconds[tier] = _ttl(entry["token_ttl_seconds"], f"{path}/token_ttl_seconds")
        for n, each in enumerate(_list(entry["capabilities"], f"{path}/capabilities")):
            capabilities.append(_capability(tier, each, f"{path}/capabilities/{n}", actions))
    rules = tuple(
        _approval_rule(each, f"approvals/{n}", actions)
        for n, each in enumerate(_list(top.get("approvals", ()), "approvals"))
    )
    return PolicySet(version, actions, ttl_seconds, tuple(capabilities), rules)


def _actions(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not 0 < len(value) <= MAX_ACTIONS:
        raise PolicySetInvalid(f"must name 1 to {MAX_ACTIONS} actions, each with a description", "actions")
    for name, description in value.items():
        if not isinstance(name, str) or _ACTION.fullmatch(name) is None:
            raise PolicySetInvalid(f"{name!r} is not a name like 'service.restart'", "actions")
        _text(description, f"actions/{name}")
    return dict(value)


def _capability(tier: Tier, value: object, path: str, actions: Mapping[str, str]) -> Capability:
    entry = _mapping(value, path, ("actions", "environments"), optional=("targets",))
    targets = _texts(entry.get("targets", ("*",)), f"{path}/targets")
    return Capability(
        tier,
        _action_patterns(entry["actions"], f"{path}/actions", actions),
        _some_of(ENVIRONMENTS, entry["environments"], f"{path}/environments"),
        targets,
    )


def _approval_rule(value: object, path: str, actions: Mapping[str, str]) -> ApprovalRule:
    entry = _mapping(value, path, ("id",), optional=("tiers", "actions", "environments"))
    id_ = _text(entry["id"], f"{path}/id")
    if _VERSION.fullmatch(id_) is None:
        raise PolicySetInvalid("must be 1 to 64 letters, digits, '.', '_' and '-'", f"{path}/id")
    tiers = _some_of(_TIERS, entry.get("tiers", _TIERS), f"{path}/tiers")
    return ApprovalRule(
        id_,
        tuple(Tier(tier) for tier in tiers),
        _action_patterns(entry.get("actions", ("*",)), f"{path}/actions", actions),
        _some_of(ENVIRONMENTS, entry.get("environments", ENVIRONMENTS), f"{path}/environments"),
    )


def _action_patterns(value: object, path: str, actions: Mapping[str, str]) -> tuple[str, ...]:
    patterns = _texts(value, path)
    for n, pattern in enumerate(patterns):
        if not any(first_match((pattern,), action) for action in actions):
            raise PolicySetInvalid(f"{pattern!r} matches none of the set's actions", f"{path}/{n}")
    return patterns


def _ttl(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in TTL_SECONDS:
        raise PolicySetInvalid(f"must be {TTL_SECONDS.start} to {TTL_SECONDS.stop - 1} seconds", path)
    return int(value)


def _mapping(
    value: object, path: str, required: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise PolicySetInvalid(f"must be a mapping with {', '.join(required)}", path)
    for key in value:
        if key not in required and key not in optional:
            raise PolicySetInvalid(f"{key!r} is unknown; known are {', '.join((*required, *optional))}", path)
    for key in required:
        if key not in value:
            raise PolicySetInvalid(f"{key} is missing", path)
    return value


def _list(value: object, path: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_RULES:
        raise PolicySetInvalid(f"must be a list of at most {MAX_RULES}", path)
    return value


def _texts(value: object, path: str) -> tuple[str, ...]:
    texts = tuple(_text(each, f"{path}/{n}") for n, each in enumerate(_list(value, path)))
    if not texts:
        raise PolicySetInvalid("must not be empty", path)
    return texts


def _some_of(known: Sequence[str], value: object, path: str) -> tuple[str, ...]:
    chosen = _texts(value, path)
    for n, each in enumerate(chosen):
        if each not in known:
            raise PolicySetInvalid(f"{each!r} is unknown; known are {', '.join(known)}", f"{path}/{n}")
    return chosen


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        raise PolicySetInvalid("must be a text of 1 to 500 characters (put it in quotes)", path)
    return str(value)
