"""What is written down of the decisions on one ask: what is the same for all of them is found once."""

from dataclasses import replace
from hashlib import blake2b

from kernel.events import Cause, told_apart
from kernel.ports import Seal
from services.policy.domain.action import Action
from services.policy.domain.amounts import shape_of
from services.policy.domain.decision import DecisionRecord, Judgement, Verdict
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.sealing import sealed_cost, sealed_digest
from services.policy.ports import Digest

Named = tuple[str, str]
"""The digest of an action, and the id of the decision on it."""


class Minutes:
    def __init__(
        self, ask: Ask, facts: Facts, cause: Cause, seal: Seal | None, digest: Digest, *, trusted: bool
    ) -> None:
        context, agent = ask.context, facts.agent
        self._ask = ask
        self._context = context
        self._seal = seal
        self._digest = digest
        self._tier = agent.tier if agent.registered is not None else None
        self._agent_version = agent.agent_version
        self._policy_version = facts.policy.version if facts.policy is not None else ""
        self._labels = facts.labels or ()
        self._steps_done = facts.steps_done
        self._at = cause.at
        who = told_apart(
            cause.tenant,
            context.agent_id,
            context.run_id,
            context.task_id,
            context.mode or "",
            cause.request_id,
        )
        # What an agent asks by itself is another request, though it took the id of one that a service asks for it.
        person = b"provost.decision" if trusted else b"provost.by-agent"
        self._who = blake2b(who.encode(), digest_size=16, person=person)
        self.names = [self._named(action) for action in ask.actions]
        """What the actions and the decisions on them are called, in order.

        A decision's id follows from all that was asked: the same request gives the same, another under its name not.
        """

    def _named(self, action: Action) -> Named:
        digest = sealed_digest(self._digest(action), self._seal)
        name = self._who.copy()
        name.update(f"{len(action.action_id)}:{action.action_id}{len(digest)}:{digest}".encode())
        cost = self._ask.costs.get(action.action_id)
        if cost is not None:
            # What was set aside for a smaller cost is not enough for this one.
            name.update(shape_of(sealed_cost(cost, self._seal)).encode())
        return digest, name.hexdigest()

    def of(self, action: Action, named: Named, judgement: Judgement) -> DecisionRecord:
        """The record of one decision, as it is told; as it is written down: `sealed_record`."""
        context = self._context
        digest, decision_id = named
        if judgement.verdict is not Verdict.ALLOW:
            decision_id = _other_id(decision_id, judgement)
        # By place, in the order of the fields: by name it takes twice as long, once for each decision.
        return DecisionRecord(
            decision_id,
            context.agent_id,
            context.run_id,
            context.task_id,
            action,
            context.mode,
            judgement.verdict,
            judgement.rule,
            judgement.reason,
            judgement.explanation,
            self._tier,
            self._policy_version,
            digest,
            self._ask.approval_ids.get(action.action_id, ""),
            self._agent_version,
            self._at,
            self._labels,
            self._steps_done,
            self._ask.costs.get(action.action_id),
        )


def refused_after_all(record: DecisionRecord, judgement: Judgement) -> DecisionRecord:
    """What is written down behind `record` when it does not hold any more."""
    return replace(
        record,
        decision_id=_other_id(record.decision_id, judgement),
        verdict=judgement.verdict,
        rule=judgement.rule,
        reason=judgement.reason,
        explanation=judgement.explanation,
    )


def _other_id(decision_id: str, judgement: Judgement) -> str:
    """Of what is no ALLOW: not the id under which the same request was, or will be, allowed, for one row of the ledger
    holds one verdict."""
    name = f"{decision_id}:{judgement.reason}"
    return blake2b(name.encode(), digest_size=16, person=b"provost.denial").hexdigest()
