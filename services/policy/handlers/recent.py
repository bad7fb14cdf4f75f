"""Answers given lately, so that a request sent again is answered as before.

Nothing rests on them: a request that is no longer here is decided anew, under the same decision ids, as is one that
budgets may count, for they are no facts of `Facts.same`. They are kept as texts: as objects they are a hundred thousand
and more, which the garbage collector goes through again and again.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from services.policy.domain.action import Action
from services.policy.domain.decision import Change, Judgement, Verdict
from services.policy.handlers.ask import Answer, Ask, Decision, Facts
from services.policy.handlers.minutes import Minutes, Named

MAX_DECISIONS = 20_000
MAX_AGE = timedelta(seconds=30)  # half of what a permit lives, so that the one in the answer is still of use

Key = tuple[str, str, str]
"""Tenant, agent, request id."""
_Texts = tuple[
    str, str, str, str, tuple[str, ...], tuple[tuple[str, str, str], ...], str, datetime | None, str
]


class _Given(NamedTuple):
    asked: str
    subject_key: str
    facts: Facts
    at: datetime
    sequence: int
    decisions: tuple[_Texts, ...]


class RecentAnswers:
    def __init__(self) -> None:
        self._given: dict[Key, _Given] = {}
        self._decisions = 0

    def find(self, key: Key, ask: Ask, facts: Facts, at: datetime, minutes: Minutes) -> Answer | None:
        """The answer to the same question under the same facts, if it was given a moment ago."""
        given = self._given.get(key)
        if given is None or at - given.at > MAX_AGE or not given.facts.same(facts):
            return None
        if given.asked != _asked(ask, minutes):
            return None
        asked = zip(ask.actions, minutes.names, given.decisions, strict=True)
        decisions = [_decision(texts, minutes, action, name) for action, name, texts in asked]
        return Answer(tuple(decisions), given.sequence)

    def keep(self, key: Key, ask: Ask, facts: Facts, at: datetime, minutes: Minutes, answer: Answer) -> None:
        """Remember it; the oldest are forgotten once there are more than 20,000 decisions."""
        self._forget(key)
        texts = tuple([_texts(each) for each in answer.decisions])
        subject_key = ask.context.subject_key
        self._given[key] = _Given(_asked(ask, minutes), subject_key, facts, at, answer.sequence, texts)
        self._decisions += len(texts)
        while self._decisions > MAX_DECISIONS:
            self._forget(next(iter(self._given)))

    def forget(self, subject_key: str) -> None:
        """Forget what was asked about a subject: it may be told in an explanation."""
        for key in [key for key, given in self._given.items() if given.subject_key == subject_key]:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        given = self._given.pop(key, None)
        if given is not None:
            self._decisions -= len(given.decisions)


def _asked(ask: Ask, minutes: Minutes) -> str:
    """All that was asked, as one text: what decision ids follow from, and what is carried into answers besides."""
    approvals = sorted(ask.approval_ids.items()) if ask.approval_ids else ""
    return f"{ask.context.fencing_token} {approvals} {' '.join([decision_id for _, decision_id in minutes.names])}"


def _texts(each: Decision) -> _Texts:
    judgement = each.judgement
    return (
        judgement.verdict.value, judgement.rule, judgement.reason, judgement.explanation, judgement.obligations,
        tuple([(change.what, change.to, change.by) for change in judgement.changes]),
        each.permit, each.permit_expire_time, each.reservation_id,
    )  # fmt: skip


def _decision(texts: _Texts, minutes: Minutes, action: Action, named: Named) -> Decision:
    verdict, rule, reason, explanation, obligations, changes, permit, expire_time, reservation_id = texts
    judgement = Judgement(
        Verdict(verdict), rule, reason, explanation, obligations, tuple([Change(*each) for each in changes])
    )
    return Decision(minutes.of(action, named, judgement), judgement, permit, expire_time, reservation_id)
