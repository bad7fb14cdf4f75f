"""Custom rules that several tests ask."""

from typing import Any

from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_rules import RegoModule, Rules

DRAINS = """package provost.rules.drains

# input.nothing is not looked at here, nor is "input.string"
deny contains msg if {
    input.action.name == "node.drain"
    input.run.labels[_] == "secret"
    msg := sprintf("%s is drained by a run that has read secrets", [input.action.target])
}

approve contains {"id": "night", "text": "at night"} if input["time"].unix_seconds < 100
"""


DRAINS_TEST = """package provost.rules.drains_test

import data.provost.rules.drains

test_secrets_do_not_drain if {
    count(drains.deny) == 1 with input as {
        "action": {"name": "node.drain", "target": "n1"}, "run": {"labels": ["secret"]}, "time": {"unix_seconds": 500},
    }
}

nothing := {"action": {"name": "node.drain"}, "run": {"labels": []}}

test_others_do if {
    every given in [nothing, {}] {
        count(drains.deny) == 0 with input as given
    }
}

test_others_do_too if count(drains.deny) == 0 with input as {"action": {"name": "node.drain"}, "run": {"labels": []}}
"""


ASK_TEST = "package provost.rules.ask_test\n\ntest_a if count(data.provost.rules.ask.deny) == 1\n"


SLOW_TEST = """
test_slow if {
    count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i + j == 300000]) == 1
}
"""


SLOW_TEST_ALONE = "package provost.rules.drains_test\n" + "\n".join(
    SLOW_TEST.replace("test_slow", f"test_{n}") for n in range(9)
)


def told(name: str = "node.drain", labels: tuple[str, ...] = (), seconds: int = 500) -> dict[str, Any]:
    return {
        "action": {"name": name, "target": "n1", "environment": "sandbox", "parameters": {}},
        "run": {"labels": list(labels)},
        "time": {"unix_seconds": seconds},
    }


def set_of(*modules: RegoModule) -> PolicySet:
    return PolicySet("1", {}, {}, (), (), Rules(rego=modules))


TAKES_FOR_EVER = """package provost.rules.slow

deny contains "x" if {
    some i in numbers.range(1, 100000)
    some j in numbers.range(1, 100000)
    i * j == input.time.unix_seconds * 100003
}
"""
