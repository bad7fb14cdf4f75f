"""Decides recorded decisions anew, those that were read together at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.policy.domain.action import RunContext
from services.policy.domain.closing import ReservationsClosed
from services.policy.domain.decision import Judgement, Verdict, heard, refused, spent
from services.policy.domain.flips import (
    Flip,
    FlipCounts,
    Happened,
    Then,
    as_then,
    counts_anew,
    decided_elsewhere,
    flip_of,
)
from services.policy.domain.policyset import PolicySet
from services.policy.domain.question import Question
from services.policy.domain.rules import SILENCE, RuleOutcome, rule_input
from services.policy.domain.spending import SetAside, Spending
from services.policy.ports.sets import Rules


class Deciding:
    """`policy` is the new set."""

    def __init__(self, policy: PolicySet, rules: Rules, tally: FlipCounts) -> None:
        self._policy = policy
        self._rules = rules
        self._tally = tally
        self.spending = Spending(policy.rules)

    def flips(self, happened: Sequence[Happened]) -> list[Flip]:
        """Those decisions that come out otherwise because of the set.

        What comes out otherwise under the set of then, too, rested on something that the log does not show in this
        order: it is left out, and counted.
        """
        asked = [each for each in happened if isinstance(each, Then) and not decided_elsewhere(each.record)]
        judged = zip(asked, self._judged(asked, self._policy), strict=True)
        found: list[Flip] = []
        for each in happened:
            if isinstance(each, SetAside):
                self.spending.set_aside(each)
            elif isinstance(each, ReservationsClosed):
                self.spending.closed(each.closings)
            elif not decided_elsewhere(each.record):
                then, again = next(judged)
                flip = self._flip(then, again)
                if flip is not None:
                    self._tally.count(flip)
                    found.append(flip)
        return found

    def _flip(self, then: Then, again: Judgement) -> Flip | None:
        said = self._within_budget(then, as_then(then, again, self._policy))
        if not then.told:
            return None
        if said.verdict is not then.record.verdict and (
            then.policy is not None and not self._reproduced(then, then.policy)
        ):
            self._tally.leave_out("not_reproduced")
            return None
        self._tally.decided += 1
        return flip_of(then.record, said)

    def _within_budget(self, then: Then, said: Judgement) -> Judgement:
        """What the new set's budgets make of it; they are drawn on in the order of the log."""
        if said.verdict is Verdict.DENY:
            return said
        if counts_anew(then, self._policy):
            short = self.spending.refusal(then.record, then.target)
            if short is not None:
                return spent(short)
        if said.verdict is Verdict.ALLOW:
            self.spending.spend(then.record, then.target, reserved=then.reserved)
        return said

    def _reproduced(self, then: Then, policy: PolicySet) -> bool:
        (again,) = self._judged([then], policy)
        return as_then(then, again, policy).verdict is then.record.verdict

    def _judged(self, thens: Sequence[Then], policy: PolicySet) -> list[Judgement]:
        questions = [_question(then, policy) for then in thens]
        judgements = [refused(question) for question in questions]
        if policy.rules.rego:
            waiting = [n for n, judgement in enumerate(judgements) if judgement is None]
            for n, said in zip(waiting, self._said([thens[n] for n in waiting], policy), strict=True):
                questions[n].rules = said
        return [
            judgement or heard(question) for judgement, question in zip(judgements, questions, strict=True)
        ]

    def _said(self, thens: Sequence[Then], policy: PolicySet) -> Sequence[RuleOutcome]:
        if not thens:
            return ()
        return self._rules.judge(policy, [_input(then) for then in thens])


def _question(then: Then, policy: PolicySet) -> Question:
    record = then.record
    return Question(
        record.action,
        record.mode,
        record.agent_id,
        record.task_id,
        then.agent,
        then.packet,
        policy,
        record.labels,
        record.steps_done,
        rules=None if policy.rules.rego else SILENCE,
    )


def _input(then: Then) -> Mapping[str, Any]:
    record = then.record
    context = RunContext(
        record.run_id, record.task_id, record.agent_id, record.mode, steps_done=record.steps_done
    )
    return rule_input(
        record.action, context, then.agent, then.packet, record.labels, int(record.at.timestamp())
    )
