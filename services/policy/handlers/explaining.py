"""What Authorize would say now, every look at it in order, and what would have to change for a yes.

Writes nothing, counts as nothing, and gives no permit.
"""

import asyncio
from dataclasses import dataclass, replace
from functools import lru_cache

from kernel.events import Cause
from kernel.ports import Following
from services.policy.domain.action import Action, RunContext
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import Judgement, Looked, all_changes, judge, looked_at
from services.policy.domain.policyset import PolicySet
from services.policy.domain.tier import Tier
from services.policy.handlers.ask import Ask
from services.policy.handlers.fresh import require_fresh
from services.policy.handlers.judging import Judging
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Means


@dataclass(frozen=True, slots=True)
class Explanation:
    """`position` says up to which sequence of the log it is what Authorize would say.

    The judgement's changes are all that it would take; Authorize names those of the first refusal.
    """

    judgement: Judgement
    looked: tuple[Looked, ...]
    tier: Tier | None
    policy_version: str
    action_digest: str
    position: int


class Explaining:
    def __init__(self, judging: Judging, sets: PolicySets, following: Following, means: Means) -> None:
        self._judging = judging
        self._sets = sets
        self._following = following
        self._digest = means.digest
        self._keys = means.keys
        self._reading = asyncio.Semaphore(1)
        self._read = lru_cache(maxsize=8)(means.reader.read)

    async def explain(
        self,
        context: RunContext,
        action: Action,
        cost: Amounts | None,
        cause: Cause,
        *,
        tier: Tier | None = None,
        policy_version: str = "",
    ) -> Explanation:
        """As the orchestrator would be answered; for an agent of another tier, or under an older set, if asked.

        Without a task in `context` it is asked about that of the agent's packet.
        Where Authorize would seal what is written down, the digest here is the plain one: whoever may ask for this
        could try guesses against the sealed ones in the log.

        Raises:
            Refused: the run's subject was erased (`SUBJECT_ERASED`).
            PolicySetUnknown: there was never such a version, or too long ago.
            PolicySetInvalid: it cannot be read any more.
            DeciderStale: this replica does not know what happened last.
        """
        await self._following.reached(context.at_least_sequence)
        require_fresh(self._following)
        seal = await self._keys.of_key(cause.tenant, context.subject_key) if context.subject_key else None
        ask = Ask(context, (action,), {}, {} if cost is None else {action.action_id: cost})
        position = self._following.position
        facts = self._judging.facts(cause.tenant, ask, trusted=True)
        if not context.task_id and facts.packet is not None:
            ask.context = replace(context, task_id=facts.packet.task_id)
        if tier is not None:
            facts = replace(facts, agent=replace(facts.agent, tier=tier))
        if policy_version:
            facts = replace(facts, policy=await self._policy(cause.tenant, policy_version))
        draws = self._judging.draws(cause.tenant, ask, facts, [("", "")], cause.at, seal)
        (question,) = await self._judging.questions(cause.tenant, ask, facts, draws, cause.at)
        judgement = replace(judge(question), changes=all_changes(question))
        agent, policy = facts.agent, facts.policy
        return Explanation(
            judgement,
            tuple(looked_at(question)),
            agent.tier if agent.registered is not None else None,
            policy.version if policy is not None else "",
            self._digest(action),
            position,
        )

    async def _policy(self, tenant: str, version: str) -> PolicySet | None:
        in_force = self._sets.in_force(tenant)
        if in_force is not None and in_force.version == version:
            return in_force
        document = self._sets.shown(tenant, version).document
        async with self._reading:  # apart, one at a time: decisions do not wait for whoever is curious
            return await asyncio.to_thread(self._read, document)
