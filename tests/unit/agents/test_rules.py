"""The packaged rules: each pattern is borne out by an example, each mistake in the data is refused by name."""

import copy
import re
from typing import Any, cast

import pytest

from services.orchestrator.agents.actions import VOCABULARY
from services.orchestrator.agents.reflection import analyse
from services.orchestrator.agents.rulebook import RulesAreWrong, load, packaged, read_files
from services.orchestrator.agents.rules import words_of

FILES = cast("dict[str, dict[str, Any]]", read_files())
RULES = [rule for name, content in FILES.items() for rule in content.get("rules", [])]


@pytest.mark.parametrize("rule", RULES, ids=[rule["id"] for rule in RULES])
def test_each_pattern_has_an_example_and_each_example_is_found(rule: dict[str, Any]) -> None:
    compiled = next(known for known in packaged().rules if known.id == rule["id"])
    lowered = [example.lower() for example in rule["examples"]]
    for pattern in rule["patterns"]:
        assert any(re.search(pattern, example) for example in lowered), pattern
    for example in lowered:
        assert compiled.pattern.search(example), example
        assert words_of(example) & compiled.words, f"no word leads to the rule: {example}"
        assert not (compiled.unless and compiled.unless.search(example)), example


@pytest.mark.parametrize("kind", ["benign", "detail", "addressed"])
def test_what_is_no_trouble_has_examples_too(kind: str) -> None:
    table = FILES["causes.yaml"][kind]
    lowered = [example.lower() for example in table["examples"]]
    for pattern in table["patterns"]:
        assert any(re.search(pattern, example) for example in lowered), pattern
    for example in lowered:
        assert any(re.search(pattern, example) for pattern in table["patterns"]), example


@pytest.mark.parametrize(
    "line",
    [
        "0 errors, 0 warnings",
        "ERROR summary: 0 errors",
        "recovered from failure",
        "connection pool: active=3 idle=7 timeouts=0",
        "ping: 5 packets transmitted, 5 received, 0% packet loss",
        "no space issues found",
        "out of memory handler installed",
        "deadlock detection enabled",
        "selftest finished, no error found",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
        "nmi watchdog enabled, lockup detector ready",
        "certificate for a.example will expire in 89 days",
        "clock skew is 2 ms, within tolerance",
    ],
)
def test_words_of_trouble_are_not_yet_trouble(line: str) -> None:
    text = "".join(f"2024-01-01T12:00:0{i}Z host app[1]: {line}\n" for i in range(5))
    assert analyse(text).incident.cause == "none"


@pytest.mark.parametrize(
    "line",
    [
        "connection to the agent closed",
        "handed over to the operator console",
        "<Event><System><Provider Name='x'/></System></Event>",
        "<user>bob</user>",
        "ping: you are not root",
        "starting as an agent of cluster a",
        "policy override for host a loaded",
        "firewall: bypass rule 12 matched",
        "HINT: please run VACUUM",
        "user: eve logged in",
    ],
)
def test_not_everyone_who_says_please_speaks_to_a_model(line: str) -> None:
    found = analyse(f"2024-01-01T12:00:00Z host app[1]: {line}\n").incident
    assert found.cause == "none", found.summary


def test_every_action_of_the_vocabulary_can_be_proposed() -> None:
    remedies = [r for c in packaged().causes.values() for r in c.remedies] + [
        r for k in packaged().rules for r in k.remedies
    ]
    assert {remedy.action for remedy in remedies} == set(VOCABULARY)


def _broken(where: str, **changes: object) -> dict[str, object]:
    files = copy.deepcopy(FILES)
    rule = files["host.yaml"]["rules"][0]
    if where == "rule":
        rule.update(changes)
    elif where == "remedy":
        rule["remedies"] = [{"action": "diagnostics.memory", "why": "x"} | changes]
    else:
        files["causes.yaml"]["causes"]["memory"].update(changes)
    return cast("dict[str, object]", files)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (_broken("rule", patern=["x"]), "patern"),
        (_broken("rule", cause="gremlins"), "gremlins"),
        (_broken("rule", severity="dire"), "dire"),
        (_broken("rule", confidence=1.5), "confidence"),
        (_broken("rule", patterns=["(unclosed"]), "memory.oom_kill"),
        (_broken("rule", patterns=["Out of Memory"]), "capitals"),
        (_broken("rule", words=["two words"]), "words"),
        (_broken("rule", says="{gremlins} did it"), "says"),
        (_broken("rule", extract={"password": ["(x)"]}), "password"),
        (_broken("rule", extract={"unit": ["x"]}), "group"),
        (_broken("rule", values=True), "shape"),
        (_broken("rule", at_least={"count": 2, "per": "source"}), "source"),
        (_broken("rule", only_after={"rule": "nobody", "count": 1}), "nobody"),
        (_broken("remedy", action="rm.everything"), "rm.everything"),
        (_broken("remedy", parameters={"unit": "sshd"}), "diagnostics.memory"),
        (_broken("remedy", action="ansible.check", parameters={"play": "destroy"}), "play"),
        (_broken("cause", leads_to=["gremlins"]), "gremlins"),
    ],
)
def test_a_mistake_in_the_rules_is_refused_by_name(files: dict[str, object], named: str) -> None:
    with pytest.raises((RulesAreWrong, ValueError), match=re.escape(named)):
        load(files)
