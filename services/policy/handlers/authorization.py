"""The decision as a use case: find the facts, judge, spend approvals, make it durable, look again, sign permits."""

from dataclasses import replace
from datetime import datetime, timedelta

from kernel.events import Cause
from kernel.faults import Fault, NotFound, Refused, Unauthenticated
from kernel.ports import Following, Seal
from services.policy.domain import decision
from services.policy.domain.agent import Agent
from services.policy.domain.approval import UseApproval
from services.policy.domain.decision import DecisionRecord, Judgement, Verdict
from services.policy.domain.faults import ApprovalUnknown, DeciderStale
from services.policy.handlers.ask import Answer, Ask, Decision, Facts
from services.policy.handlers.judging import Judging
from services.policy.handlers.minutes import Minutes, instead, kept, refused_after_all
from services.policy.handlers.recent import RecentAnswers
from services.policy.ports import Held, Means, Permit

MAX_STALE_SECONDS = 1.0
PERMIT_TTL = timedelta(seconds=60)

Judged = list[tuple[DecisionRecord, Judgement]]


class Authorization:
    def __init__(self, held: Held, judging: Judging, following: Following, means: Means) -> None:
        self._agents = held.agents
        self._approvals = held.approvals
        self._judging = judging
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
        facts = self._judging.facts(tenant, ask, trusted=trusted)
        minutes = Minutes(ask, facts, cause, seal, self._digest)
        refusal = self._token_refusal(ask, session_token, cause, trusted=trusted)
        if refusal is not None:
            judgement = decision.token_refused(refusal)
            await self._commit(
                [(minutes.of(action, judgement), judgement) for action in ask.actions], cause, seal
            )
            raise refusal
        key = (tenant, context.agent_id, cause.request_id)
        answer = self._recent.find(key, ask, facts, cause.at)
        if answer is None:
            answer = await self._decide(ask, facts, minutes, cause, seal)
            if all(each.judgement.verdict is not Verdict.NEEDS_APPROVAL for each in answer.decisions):
                # What waits for a person may be answered any time.
                self._recent.keep(key, ask, facts, cause.at, answer)
        return answer

    def subject_erased(self, _tenant: str, subject_key: str) -> None:
        """Its key is gone: hold nothing in the clear any more that was asked about it."""
        self._recent.forget(subject_key)

    async def _decide(
        self, ask: Ask, facts: Facts, minutes: Minutes, cause: Cause, seal: Seal | None
    ) -> Answer:
        judged: Judged = []
        judgements = await self._judging.judged(self._judging.questions(ask, facts))
        for action, judgement in zip(ask.actions, judgements, strict=True):
            record = minutes.of(action, judgement)
            if judgement.verdict is not Verdict.NEEDS_APPROVAL or not record.approval_id:
                judged.append((record, judgement))
                continue
            answered = await self._spend(judgement, record, cause)
            judged.append((instead(record, answered), answered))
        sequence = await self._commit(judged, cause, seal)
        self._require_fresh()  # the log may have been away for longer than a revocation may stay unknown
        agent = self._agents.current(cause.tenant, ask.context.agent_id)
        if agent.revoked is not None and facts.agent.revoked is None:
            judged, sequence = await self._taken_back(judged, agent, cause, seal)
        return Answer(await self._permitted(ask, judged, cause), sequence)

    async def _commit(self, judged: Judged, cause: Cause, seal: Seal | None) -> int:
        return await self._record.commit([kept(record, seal) for record, _ in judged], cause)

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
        self, judged: Judged, agent: Agent, cause: Cause, seal: Seal | None
    ) -> tuple[Judged, int]:
        """The agent was revoked while its decisions were being written: they are all refused, and that is recorded."""
        judgement = decision.revoked(agent)
        refused = [(refused_after_all(record, judgement), judgement) for record, _ in judged]
        return refused, await self._commit(refused, cause, seal)

    def _require_fresh(self) -> None:
        if self._following.stale_seconds > MAX_STALE_SECONDS:
            raise DeciderStale(self._following.stale_seconds)

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

    async def _permitted(self, ask: Ask, judged: Judged, cause: Cause) -> tuple[Decision, ...]:
        """The decisions, with permits for those by which somebody may act; one signature is enough for all of them."""
        decisions = tuple(Decision(record, judgement) for record, judgement in judged)
        acting = [
            each
            for each in decisions
            if each.judgement.verdict is Verdict.ALLOW and decision.DRY_RUN not in each.judgement.obligations
        ]
        if acting:
            issued = self._now()
            permits = [self._permit(ask, each.record, cause, issued) for each in acting]
            for each, permit in zip(acting, await self._signer.sign_permits(permits), strict=True):
                each.permit, each.permit_expire_time = permit, issued + PERMIT_TTL
        return decisions

    def _permit(self, ask: Ask, record: DecisionRecord, cause: Cause, issued: datetime) -> Permit:
        return Permit(
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
