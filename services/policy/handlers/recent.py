"""Answers given lately, so that a request sent again is answered as before.

Nothing rests on them: a request that is no longer here is decided anew, under the same decision ids.
"""

from datetime import datetime, timedelta

from services.policy.handlers.ask import Answer, Ask, Facts

MAX_DECISIONS = 20_000
MAX_AGE = timedelta(seconds=30)  # half of what a permit lives, so that the one in the answer is still of use

Key = tuple[str, str, str]
"""Tenant, agent, request id."""


class RecentAnswers:
    def __init__(self) -> None:
        self._given: dict[Key, tuple[Ask, Facts, datetime, Answer]] = {}
        self._decisions = 0

    def find(self, key: Key, ask: Ask, facts: Facts, at: datetime) -> Answer | None:
        """The answer to the same question under the same facts, if it was given a moment ago."""
        given = self._given.get(key)
        if given is None:
            return None
        then, resting_on, since, answer = given
        fresh = at - since <= MAX_AGE and resting_on.same(facts) and then == ask
        return answer if fresh else None

    def keep(self, key: Key, ask: Ask, facts: Facts, at: datetime, answer: Answer) -> None:
        """Remember it; the oldest are forgotten once there are more than 20,000 decisions."""
        self._forget(key)
        self._given[key] = (ask, facts, at, answer)
        self._decisions += len(answer.decisions)
        while self._decisions > MAX_DECISIONS:
            self._forget(next(iter(self._given)))

    def forget(self, subject_key: str) -> None:
        """Forget what was asked about a subject: its actions are held here as they were asked."""
        for key in [key for key, given in self._given.items() if given[0].context.subject_key == subject_key]:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        given = self._given.pop(key, None)
        if given is not None:
            self._decisions -= len(given[3].decisions)
