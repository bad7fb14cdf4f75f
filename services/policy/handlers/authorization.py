"""The decision as a use case: find the facts, judge, spend approvals, make it durable, look again, sign permits."""

from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b

from kernel.events import Cause
from kernel.faults import Fault, NotFound, Refused, Unauthenticated
from kernel.ports import Following, Seal
from services.policy.domain import decision
from services.policy.domain.action import Action
from services.policy.domain.agent import Agent
from services.policy.domain.approval import UseApproval
from services.policy.domain.decision import DecisionRecord, Judgement, Question, Verdict
from services.policy.domain.faults import ApprovalUnknown, DeciderStale
from services.policy.handlers.ask import Answer, Ask, Decision
from services.policy.handlers.keeping import action_kept, digest_kept
from services.policy.handlers.policysets import PolicySets
from services.policy.handlers.recent import Facts, RecentAnswers
from services.policy.ports import Held, Means, Permit

MAX_STALE_SECONDS = 1.0
PERMIT_TTL = timedelta(seconds=60)


class Authorization:
    def __init__(
        self,
        held: Held,
        sets: PolicySets,
        following: Following,
        means: Means,
    ) -> None:
        self._agents = held.agents
        self._approvals = held.approvals
        self._packets = held.packets
        self._sets = sets
        self._following = following
        self._record = means.record
        self._signer = means.signer
        self._digest = means.digest
        self._keys = means.keys
        self._now = means.now
        self._recent = RecentAnswers()

    async def decide(self, ask: Ask, session_token: str, cause: Cause, *, trusted: bool) -> Answer:
        """The decisions, durable. `trusted` callers may speak for an agent without its session token.

        Sent again, it spends no second approval, and the same verdict has the same decision id.

        Raises:
            DeciderStale: this replica does not know the newest revocations, or no longer did when the decisions were
                durable. No DENY is recorded, for another replica may decide.
            Unauthenticated: the token is missing or no good; a DENY is on record.
            Unavailable, Exhausted: nothing could be made durable; nobody may act.
        """
        context, tenant = ask.context, cause.tenant
        if context.at_least_sequence > self._following.position:
            await self._following.reached(context.at_least_sequence)
        # Before anything is decided: what cannot be sealed cannot be written down, and then nobody may act.
        seal = await self._keys.of_key(tenant, context.subject_key) if context.subject_key else None
        self._require_fresh()
        facts = self._facts(tenant, ask)
        refusal = self._token_refusal(ask, session_token, cause, trusted=trusted)
        if refusal is not None:
            judgement = decision.token_refused(refusal)
            records = [self._recorded(ask, action, judgement, facts, cause, seal) for action in ask.actions]
            await self._record.commit([kept(record, seal) for record in records], cause)
            raise refusal
        key = (tenant, context.agent_id, cause.request_id)
        answer = self._recent.find(key, ask, facts, cause.at)
        if answer is None:
            answer = await self._decide(ask, facts, cause, seal)
            if all(each.judgement.verdict is not Verdict.NEEDS_APPROVAL for each in answer.decisions):
                self._recent.keep(
                    key, ask, facts, cause.at, answer
                )  # what waits for a person may be answered any time
        return answer

    def subject_erased(self, _tenant: str, subject_key: str) -> None:
        """Its key is gone: hold nothing in the clear any more that was asked about it."""
        self._recent.forget(subject_key)

    async def _decide(self, ask: Ask, facts: Facts, cause: Cause, seal: Seal | None) -> Answer:
        context = ask.context
        judged: list[tuple[DecisionRecord, Judgement]] = []
        for action in ask.actions:
            question = Question(
                action,
                context.mode,
                context.agent_id,
                context.task_id,
                facts.agent,
                facts.packet,
                facts.policy,
            )
            judgement = decision.judge(question)
            record = self._recorded(ask, action, judgement, facts, cause, seal)
            if judgement.verdict is Verdict.NEEDS_APPROVAL and record.approval_id:
                judgement = await self._spend(judgement, record, cause)
                record = _with(record, judgement)
            judged.append((record, judgement))
        sequence = await self._record.commit([kept(record, seal) for record, _ in judged], cause)
        self._require_fresh()  # the log may have been away for longer than a revocation may stay unknown
        agent = self._agents.current(cause.tenant, context.agent_id)
        if agent.revoked is not None and facts.agent.revoked is None:
            judged, sequence = await self._taken_back(judged, agent, cause, seal)
        return Answer(tuple(self._permitted(ask, each, cause) for each in judged), sequence)

    async def _spend(self, judgement: Judgement, record: DecisionRecord, cause: Cause) -> Judgement:
        """Use the approval up for this decision, in the log, before the decision itself is recorded."""
        use = UseApproval(
            record.approval_id,
            record.decision_id,
            record.action_digest,
            record.run_id,
            record.agent_id,
            cause.at,
        )
        try:
            if self._approvals.current(cause.tenant, use.approval_id).requested is None:
                raise ApprovalUnknown(use.approval_id)
            await self._approvals.handle(use.approval_id, use, replace(cause, request_id=record.decision_id))
        except (Refused, NotFound) as fault:
            return decision.approval_refused(judgement, fault)
        return decision.approved(judgement, use.approval_id)

    async def _taken_back(
        self,
        judged: list[tuple[DecisionRecord, Judgement]],
        agent: Agent,
        cause: Cause,
        seal: Seal | None,
    ) -> tuple[list[tuple[DecisionRecord, Judgement]], int]:
        """The agent was revoked while its decisions were being written: they are all refused, and that is recorded."""
        judgement = decision.revoked(agent)
        refused = [
            (
                replace(_with(record, judgement), decision_id=_denial_id(record.decision_id, judgement)),
                judgement,
            )
            for record, _ in judged
        ]
        return refused, await self._record.commit([kept(record, seal) for record, _ in refused], cause)

    def _require_fresh(self) -> None:
        if self._following.stale_seconds > MAX_STALE_SECONDS:
            raise DeciderStale(self._following.stale_seconds)

    def _facts(self, tenant: str, ask: Ask) -> Facts:
        agent_id = ask.context.agent_id
        return Facts(
            self._agents.current(tenant, agent_id),
            self._packets.current(tenant, agent_id),
            self._sets.in_force(tenant),
        )

    def _token_refusal(self, ask: Ask, token: str, cause: Cause, *, trusted: bool) -> Fault | None:
        if not token:
            if trusted:
                return None
            return Unauthenticated("TOKEN_MISSING", "an agent must show its session token: create a session")
        try:
            bearer = self._signer.bearer_of(token, cause.at)
        except Unauthenticated as fault:
            return fault
        if bearer.tenant != cause.tenant:
            return Unauthenticated("TENANT_MISMATCH", "the session token is another tenant's")
        if bearer.agent_id != ask.context.agent_id:
            return Unauthenticated("TOKEN_INVALID", "the session token is another agent's: create a session")
        return None

    def _recorded(
        self, ask: Ask, action: Action, judgement: Judgement, facts: Facts, cause: Cause, seal: Seal | None
    ) -> DecisionRecord:
        context, agent = ask.context, facts.agent
        digest = digest_kept(self._digest(action), seal)
        decision_id = _decision_id(ask, action.action_id, digest, cause)
        if judgement.verdict is Verdict.DENY:
            decision_id = _denial_id(decision_id, judgement)
        return DecisionRecord(
            decision_id=decision_id,
            agent_id=context.agent_id,
            run_id=context.run_id,
            task_id=context.task_id,
            action=action,
            mode=context.mode,
            verdict=judgement.verdict,
            rule=judgement.rule,
            reason=judgement.reason,
            explanation=judgement.explanation,
            tier=agent.tier if agent.registered is not None else None,
            policy_version=facts.policy.version if facts.policy is not None else "",
            action_digest=digest,
            approval_id=ask.approval_ids.get(action.action_id, ""),
            agent_version=agent.agent_version,
            at=cause.at,
        )

    def _permitted(self, ask: Ask, judged: tuple[DecisionRecord, Judgement], cause: Cause) -> Decision:
        record, judgement = judged
        if judgement.verdict is not Verdict.ALLOW or decision.DRY_RUN in judgement.obligations:
            return Decision(record, judgement)
        issued = self._now()
        permit = Permit(
            record.decision_id,
            self._digest(record.action) if ask.context.subject_key else record.action_digest,
            cause.tenant,
            record.run_id,
            record.task_id,
            record.agent_id,
            ask.context.fencing_token,
            issued,
            issued + PERMIT_TTL,
        )
        return Decision(record, judgement, self._signer.sign_permit(permit), permit.expire_time)


def kept(record: DecisionRecord, seal: Seal | None) -> DecisionRecord:
    """A decision as it is written down: what is personal in it sealed."""
    if seal is None:
        return record
    return replace(record, action=action_kept(record.action, seal), explanation=seal.seal(record.explanation))


def _decision_id(ask: Ask, action_id: str, digest: str, cause: Cause) -> str:
    """From all that was asked: the same request gives the same id, another one under its name does not."""
    context = ask.context
    parts = (cause.tenant, context.agent_id, context.run_id, cause.request_id, action_id, digest)
    # Parts are told apart by their lengths, so that none can pass for another.
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(name.encode(), digest_size=16, person=b"provost.decision").hexdigest()


def _denial_id(decision_id: str, judgement: Judgement) -> str:
    """Not the id under which the same request was, or will be, allowed: one row of the ledger holds one verdict."""
    name = f"{decision_id}:{judgement.reason}"
    return blake2b(name.encode(), digest_size=16, person=b"provost.denial").hexdigest()


def _with(record: DecisionRecord, judgement: Judgement) -> DecisionRecord:
    return replace(
        record,
        verdict=judgement.verdict,
        rule=judgement.rule,
        reason=judgement.reason,
        explanation=judgement.explanation,
    )
