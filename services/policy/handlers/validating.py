"""Everything there is to say of a policy set before it goes live."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.policyset_verdicts import input_of, results
from services.policy.domain.policyset_warnings import warnings
from services.policy.domain.rego_silence import idle
from services.policy.domain.rules import SILENCE, RuleOutcome
from services.policy.ports.sets import GivenUp, PolicySetReader, ReadSet, Rules

MOST_WARNINGS = 200

_PLACE = re.compile(r"line (\d+), column (\d+)")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something at a place of the document; line and column from 1, or 0 where there is no place."""

    line: int
    column: int
    path: str
    text: str

    def fault(self, others: Sequence["Remark"] = ()) -> PolicySetInvalid:
        """As what is refused, together with what else is wrong."""
        place = f"line {self.line}, column {self.column}" if self.line else ""
        return PolicySetInvalid(self.text, self.path, place, [each.fault() for each in others])


@dataclass(frozen=True, slots=True)
class Tried:
    """How one test came out, and the line it stands on."""

    name: str
    passed: bool
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Validated:
    """It could go live if there are no problems and every test has passed. No `policy` where there are problems."""

    policy: PolicySet | None
    problems: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()
    tests: tuple[Tried, ...] = ()
    version_at: tuple[int, int] = (0, 0)
    """Line and column of its version."""

    def fault(self) -> PolicySetInvalid:
        """All of its problems; there are some."""
        return self.problems[0].fault(self.problems[1:])


def validated(
    reader: PolicySetReader, rules: Rules | None, document: str, given_up: GivenUp = lambda: False
) -> Validated:
    """All that is wrong with `document`; its warnings and how its tests come out, if nothing is. Slow: for a thread.

    Once it is `given_up`, what it gives is worth nothing.
    """
    read = reader.look(document)
    if read.policy is None:
        return Validated(None, tuple(_remark(problem) for problem in read.problems))
    policy = read.policy
    examined = Examined()
    if policy.rules.rego:
        if rules is None:
            line, column = read.place("rules")
            return Validated(None, (Remark(line, column, "rules", "nothing evaluates custom rules here"),))
        examined = rules.examine(policy.rules.rego, given_up)
    if examined.flaws:
        flaws = (
            Remark(*read.within(flaw.path, flaw.line, flaw.column), flaw.path, flaw.text)
            for flaw in examined.flaws
        )
        return Validated(None, tuple(flaws))
    found = islice(chain(_idle(read, policy), _surprises(read, policy)), MOST_WARNINGS)
    said: list[RuleOutcome] = [SILENCE] * len(policy.tests)
    if policy.rules.rego and rules is not None and policy.tests:
        said = list(rules.rehearse(policy, [input_of(test) for test in policy.tests], given_up))
    tests = tuple(_tried(read, policy, examined, said))
    return Validated(policy, (), tuple(found), tests, read.place("version"))


def _idle(read: ReadSet, policy: PolicySet) -> Iterator[Remark]:
    for each in idle(policy.rules.rego):
        yield Remark(*read.within(each.path, each.line, each.column), each.path, each.text)


def _surprises(read: ReadSet, policy: PolicySet) -> Iterator[Remark]:
    for path, text in warnings(policy):
        yield Remark(*read.place(path), path, text)


def _tried(read: ReadSet, policy: PolicySet, examined: Examined, said: list[RuleOutcome]) -> Iterator[Tried]:
    for each in (*examined.tests, *results(policy, said)):
        line, _ = read.place(each.path)
        yield Tried(each.name, each.passed, each.text, line)


def _remark(problem: PolicySetInvalid) -> Remark:
    place = _PLACE.fullmatch(problem.facts.get("place", ""))
    line, column = (int(place[1]), int(place[2])) if place else (0, 0)
    return Remark(line, column, problem.path, problem.problem)
