"""The facts that an action is judged by, and the judgement: the same for deciding and for explaining."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from kernel.faults import Unavailable
from kernel.ports import Seal
from services.policy.domain.action import Action
from services.policy.domain.agent import Agent
from services.policy.domain.decision import Question, refused
from services.policy.domain.drawing import Draw
from services.policy.domain.rules import rule_input
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.drawing import Drawing
from services.policy.handlers.minutes import Named
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Held, Means


class Judging:
    def __init__(self, held: Held, sets: PolicySets, means: Means) -> None:
        self._agents = held.agents
        self._packets = held.packets
        self._labels = held.labels
        self._sets = sets
        self._drawing = Drawing(means.budgets, held.errors)
        self._rules = means.rules
        self._opa = means.opa

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

    def moved(self, tenant: str, ask: Ask, facts: Facts, *, trusted: bool) -> bool:
        """Whether `facts` are no longer what a decision would rest on; what changes is another object.

        A session or a secret more is no other standing of the agent.
        """
        context = ask.context
        agent_id = context.agent_id
        try:
            agent = self._agents.current(tenant, agent_id)
            return (
                (agent is not facts.agent and _standing(agent) != _standing(facts.agent))
                or self._packets.current(tenant, agent_id) is not facts.packet
                or self._sets.in_force(tenant) is not facts.policy
                or self._labels.current(tenant, agent_id, context.run_id if trusted else None) != facts.labels
            )
        except Unavailable:
            return True  # nobody can say any more what it is

    def asks_others(self, facts: Facts) -> bool:
        """Whether custom rules or OPA have a say: an answer takes time."""
        return self._opa is not None or (facts.policy is not None and bool(facts.policy.rules.rego))

    def awaits_labels(self, facts: Facts, action: Action) -> bool:
        """Whether a label that this replica has not heard of yet could make a no of a yes."""
        policy, labels = facts.policy, facts.labels
        if policy is None or labels is None:
            return False
        return self._opa is not None or policy.awaits(labels, action.name, action.environment, action.target)

    def counted(self, tenant: str, ask: Ask, facts: Facts) -> bool:
        """Whether there is a budget at all that this could count against."""
        return self._drawing.any(tenant, ask, facts)

    def draws(
        self,
        tenant: str,
        ask: Ask,
        facts: Facts,
        named: Sequence[Named],
        at: datetime,
        seal: Seal | None,
    ) -> list[Draw | None]:
        """What each action draws on budgets; empty when there are none."""
        if not self.counted(tenant, ask, facts):
            return []
        pairs = zip(ask.actions, named, strict=True)
        return [self._drawing.draw(tenant, ask, facts, action, name[1], at, seal) for action, name in pairs]

    async def questions(
        self, tenant: str, ask: Ask, facts: Facts, draws: Sequence[Draw | None], at: datetime
    ) -> list[Question]:
        """One for each action, in order: custom rules and OPA have been asked of what nothing else refuses."""
        context = ask.context
        asks_opa = self._opa is not None
        questions = [
            Question(
                action,
                context.mode,
                context.agent_id,
                context.task_id,
                facts.agent,
                facts.packet,
                facts.policy,
                facts.labels,
                facts.steps_done,
                asks_opa=asks_opa,
            )
            for action in ask.actions
        ]
        for question, draw in zip(questions, draws, strict=False):
            question.shortage = None if draw is None else self._drawing.refusal(tenant, draw)
        if self.asks_others(facts):
            await self._ask(ask, facts, [each for each in questions if refused(each) is None], at)
        return questions

    async def _ask(self, ask: Ask, facts: Facts, questions: Sequence[Question], at: datetime) -> None:
        if not questions or facts.policy is None:
            return
        labels, seconds = facts.labels or (), int(at.timestamp())
        context = replace(ask.context, steps_done=facts.steps_done)
        inputs = [
            rule_input(q.action, context, facts.agent, facts.packet, labels, seconds) for q in questions
        ]
        if self._rules is not None and facts.policy.rules.rego:
            heard = await self._rules.hear(facts.policy, inputs)
            for question, said in zip(questions, heard, strict=True):
                question.rules = said
        if self._opa is not None:
            open_ = [n for n, each in enumerate(questions) if each.rules is None or not each.rules.denied]
            said_there = await self._opa.judge([inputs[n] for n in open_]) if open_ else ()
            for n, said in zip(open_, said_there, strict=True):
                questions[n].opa = said


def _standing(agent: Agent) -> tuple[object, ...]:
    return agent.registered, agent.tier, agent.suspended, agent.fell_with
