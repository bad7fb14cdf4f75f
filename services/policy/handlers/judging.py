"""The facts that an action is judged by, and the judgement: the same for deciding and for explaining."""

from collections.abc import Sequence

from services.policy.domain.action import Action
from services.policy.domain.decision import Judgement, Question, judge
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Held


class Judging:
    def __init__(self, held: Held, sets: PolicySets) -> None:
        self._agents = held.agents
        self._packets = held.packets
        self._labels = held.labels
        self._sets = sets

    def facts(self, tenant: str, ask: Ask, *, trusted: bool) -> Facts:
        """What there is to know, as far as the follower has delivered.

        Of a run only those who are `trusted` can tell which one it is, and what it has been through: anybody else's
        could be any run of the agent, so that the labels of all of them count, and no steps do.
        """
        context = ask.context
        agent_id = context.agent_id
        return Facts(
            self._agents.current(tenant, agent_id),
            self._packets.current(tenant, agent_id),
            self._sets.in_force(tenant),
            self._labels.current(tenant, agent_id, context.run_id if trusted else None),
            context.steps_done if trusted else (),
        )

    def questions(self, ask: Ask, facts: Facts) -> list[Question]:
        """One for each action, in order."""
        return [_question(ask, facts, action) for action in ask.actions]

    async def asked(self, questions: Sequence[Question]) -> Sequence[Question]:
        """The same, with what custom rules and OPA say: they are asked of what nothing else refuses."""
        return questions

    async def judged(self, questions: Sequence[Question]) -> list[Judgement]:
        """The judgement on each."""
        return [judge(question) for question in await self.asked(questions)]


def _question(ask: Ask, facts: Facts, action: Action) -> Question:
    context = ask.context
    return Question(
        action,
        context.mode,
        context.agent_id,
        context.task_id,
        facts.agent,
        facts.packet,
        facts.policy,
        facts.labels,
        facts.steps_done,
    )
