"""The decision as a use case: find the facts, judge, spend approvals, make it durable, look again, sign permits."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from kernel.events import Cause
from kernel.faults import NotFound, Refused, Unavailable
from kernel.ports import Following, Seal
from services.policy.domain import decision
from services.policy.domain.actor import POLICY
from services.policy.domain.amounts import NOTHING
from services.policy.domain.approval import APPROVAL, UseApproval, wish_of
from services.policy.domain.budget_events import Want
from services.policy.domain.closing import Close
from services.policy.domain.decision import DecisionRecord, Judgement, Verdict, judge
from services.policy.domain.demand import demand_of
from services.policy.domain.drawing import BudgetRefusal, Draw
from services.policy.domain.faults import ApprovalAlreadyUsed, ApprovalUnknown, MovedMeanwhile
from services.policy.handlers.ask import Answer, Ask, Decision, Facts
from services.policy.handlers.bearing import token_refusal
from services.policy.handlers.fresh import MAX_STALE_SECONDS, require_fresh
from services.policy.handlers.judging import Judging
from services.policy.handlers.minutes import Minutes, refused_after_all
from services.policy.handlers.recent import RecentAnswers
from services.policy.handlers.sealing import sealed_record
from services.policy.ports import Held, Means
from services.policy.ports.signing import Permit

PERMIT_TTL = timedelta(seconds=60)
TRIES = 3
"""So often it is decided under facts that do not last until the decision is durable."""


class Authorization:
    def __init__(self, held: Held, judging: Judging, following: Following, means: Means) -> None:
        self._held = held
        self._agents = held.agents
        self._approvals = held.approvals
        self._judging = judging
        self._following = following
        self._record = means.record
        self._budgets = means.budgets
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
            MovedMeanwhile: tier, packet, labels or the set in force changed each time before it could be answered.
            Unavailable, Exhausted: nothing could be made durable, or the lock may be among what is not known here yet;
                nobody may act.
        """
        context, tenant = ask.context, cause.tenant
        if context.at_least_sequence > self._following.position:
            await self._following.reached(context.at_least_sequence)
        newer = context.fencing_token > self._following.position
        missing = await self._lock_missing(context.fencing_token) if newer else None
        # Before anything is decided: what cannot be sealed cannot be written down, and then nobody may act.
        seal = await self._keys.of_key(tenant, context.subject_key) if context.subject_key else None
        require_fresh(self._following)
        facts = self._judging.facts(tenant, ask, trusted=trusted)
        minutes = Minutes(ask, facts, cause, seal, self._digest, trusted=trusted)
        refusal = token_refusal(
            self._signer, session_token, tenant, context.agent_id, cause.at, trusted=trusted
        )
        no = missing if refusal is None else decision.token_refused(refusal)
        if no is not None:
            pairs = zip(ask.actions, minutes.names, strict=True)
            decisions = tuple([Decision(minutes.of(action, name, no), no) for action, name in pairs])
            sequence = await self._record.commit(
                [sealed_record(each.record, seal) for each in decisions], cause
            )
            if refusal is not None:
                raise refusal
            return Answer(decisions, sequence)
        key = (tenant, context.agent_id, cause.request_id)
        # What a budget counts is asked of it each time: what was set aside may be given back, errors may have come.
        remembers = not self._judging.counted(tenant, ask, facts)
        answer = self._recent.find(key, ask, facts, cause.at, minutes) if remembers else None
        if answer is not None:
            return answer
        ours: set[str] = set()
        for _ in range(TRIES):
            answer, made = await self._decide(ask, facts, minutes, cause, seal, trusted=trusted)
            ours |= made
            if answer is not None:
                break
            require_fresh(self._following)
            facts = self._judging.facts(tenant, ask, trusted=trusted)
            minutes = Minutes(ask, facts, cause, seal, self._digest, trusted=trusted)
        if ours:
            await self._give_back(ours, answer, cause)
        if answer is None:
            raise MovedMeanwhile(context.agent_id)
        # What waits for a person may be answered any time.
        if remembers and all(
            each.judgement.verdict is not Verdict.NEEDS_APPROVAL for each in answer.decisions
        ):
            self._recent.keep(key, ask, facts, cause.at, minutes, answer)
        return answer

    def subject_erased(self, _tenant: str, subject_key: str) -> None:
        """Its key is gone: hold nothing in the clear any more that was asked about it."""
        self._recent.forget(subject_key)

    async def _decide(
        self, ask: Ask, facts: Facts, minutes: Minutes, cause: Cause, seal: Seal | None, *, trusted: bool
    ) -> tuple[Answer | None, frozenset[str]]:
        """Decide under these facts; None when they did not last until it was durable, so that nobody is given it.

        Besides, what was set aside on the way and was not before.
        """
        tenant, judging, named = cause.tenant, self._judging, minutes.names
        draws = judging.draws(tenant, ask, facts, named, cause.at, seal)
        questions = await judging.questions(tenant, ask, facts, draws, cause.at)
        if judging.asks_others(facts) and judging.moved(tenant, ask, facts, trusted=trusted):
            return None, frozenset()
        decisions = [
            Decision(minutes.of(question.action, name, judgement := judge(question)), judgement)
            for question, name in zip(questions, named, strict=True)
        ]
        if self._awaits_labels(facts, decisions) or self._lacks_answers(tenant, decisions):
            # Before a yes to a run that was given something to read a moment ago, or a no that others know to be wrong.
            await self._held.catch_up(self._following)
            if judging.moved(tenant, ask, facts, trusted=trusted):
                return None, frozenset()
        for each, name in zip(decisions, named, strict=True):
            if _shows_approval(each):
                each.judgement = await self._spend(each, name[1], facts, cause, seal)
                each.record = minutes.of(each.record.action, name, each.judgement)
        sequence, made = await self._commit(decisions, draws, cause, seal)
        # The log may have been away for longer than a revocation may stay unknown.
        require_fresh(self._following)
        agent = self._agents.current(tenant, ask.context.agent_id)
        lost = decision.powerless(agent) if agent is not facts.agent else None
        if lost is not None:
            sequence = await self._take_back(decisions, lost, cause, seal)
        elif judging.moved(tenant, ask, facts, trusted=trusted) and any(map(_allowed, decisions)):
            return None, made
        await self._permit(ask, decisions, cause)
        return Answer(tuple(decisions), sequence), made

    async def _lock_missing(self, token: int) -> Judgement | None:
        """A token is the sequence of the event that took the lock: it is in the log by now, or it is made up.

        Raises:
            Unavailable: that is not known here, or not yet, which is no decision to put on record.
        """
        try:
            await self._following.reached(token, MAX_STALE_SECONDS)
        except Unavailable as problem:
            if problem.reason != "FOLLOWER_BEHIND" or token <= await self._held.last_sequence():
                raise
            return decision.no_lock(token)
        return None

    async def _commit(
        self,
        decisions: Sequence[Decision],
        draws: Sequence[Draw | None],
        cause: Cause,
        seal: Seal | None,
    ) -> tuple[int, frozenset[str]]:
        """Make them durable; those that draw on budgets together with what is set aside for them.

        The sequence of their event, and what was set aside just now.
        """
        pairs = list(zip(decisions, draws, strict=True)) if draws else []
        if not any(draw is not None and each.judgement.verdict is Verdict.ALLOW for each, draw in pairs):
            sealed = [sealed_record(each.record, seal) for each in decisions]
            return await self._record.commit(sealed, cause), frozenset()
        wants = [_want(each, draw, seal) for each, draw in pairs]
        drawn, sequence = await self._budgets.decide(wants, cause)
        for each, made in zip(decisions, drawn, strict=True):
            if made.refusal is not None:
                each.judgement = decision.spent(made.refusal)
                each.record = refused_after_all(each.record, each.judgement)
            elif made.reservation is not None:
                each.reservation_id = made.reservation.reservation_id
        new = [made.reservation.reservation_id for made in drawn if made.reservation is not None and made.new]
        return sequence, frozenset(new)

    async def _spend(
        self, asked: Decision, decision_id: str, facts: Facts, cause: Cause, seal: Seal | None
    ) -> Judgement:
        """Use the approval up, in the log, for the ALLOW that will be `decision_id`, before that itself is recorded."""
        record = asked.record
        use = UseApproval(
            approval_id=record.approval_id,
            decision_id=decision_id,
            action_digest=record.action_digest,
            run_id=record.run_id,
            agent_id=record.agent_id,
            at=cause.at,
            demand=demand_of(facts.policy, asked.judgement.rule, facts.agent.tier, record.action),
        )
        try:
            if self._approvals.current(cause.tenant, use.approval_id).requested is None:
                raise ApprovalUnknown(use.approval_id)
            used = await self._approvals.handle(use.approval_id, use, replace(cause, request_id=decision_id))
            if used.duplicate:
                # Nobody was asked then whether it is still as many people as the rules ask for.
                unused = APPROVAL.decide(self._approvals.current(cause.tenant, use.approval_id), use)
                if unused is not None:  # whatever was written under this id, it did not use it up
                    raise ApprovalAlreadyUsed(use.approval_id)
        except (Refused, NotFound) as fault:
            refused = decision.approval_refused(asked.judgement, fault)
            said = wish_of(self._approvals.current(cause.tenant, use.approval_id))
            return decision.asked_otherwise(refused, seal.open(said) if seal else said) if said else refused
        return decision.approved(asked.judgement, use.approval_id)

    def _awaits_labels(self, facts: Facts, decisions: Sequence[Decision]) -> bool:
        return any(
            (_allowed(each) or _shows_approval(each))
            and self._judging.awaits_labels(facts, each.record.action)
            for each in decisions
        )

    def _lacks_answers(self, tenant: str, decisions: Sequence[Decision]) -> bool:
        return any(
            _shows_approval(each)
            and self._approvals.current(tenant, each.record.approval_id).answered is None
            for each in decisions
        )

    async def _take_back(
        self, decisions: Sequence[Decision], lost: Judgement, cause: Cause, seal: Seal | None
    ) -> int:
        """What was seen once its decisions were written speaks against them: all are refused, and that is recorded."""
        for each in decisions:
            each.judgement, each.record, each.reservation_id = lost, refused_after_all(each.record, lost), ""
        return await self._record.commit([sealed_record(each.record, seal) for each in decisions], cause)

    async def _give_back(self, ours: set[str], answer: Answer | None, cause: Cause) -> None:
        """What this call has set aside, and is not in its answer: nothing is done under it.

        What was there before it is not touched: somebody may have been given it, and act.
        """
        idle = sorted(ours.difference([each.reservation_id for each in answer.decisions] if answer else ()))
        if idle:
            await self._budgets.close([Close(each, NOTHING, POLICY, cause.at) for each in idle], cause)

    async def _permit(self, ask: Ask, decisions: Sequence[Decision], cause: Cause) -> None:
        """Give permits to those by which somebody may act; one signature is enough for all of them."""
        acting = [
            each
            for each in decisions
            if each.judgement.verdict is Verdict.ALLOW and decision.DRY_RUN not in each.judgement.obligations
        ]
        if not acting:
            return
        issued = self._now()
        expires = issued + PERMIT_TTL
        sealed, token = bool(ask.context.subject_key), ask.context.fencing_token
        permits = [
            Permit(
                each.record.decision_id,
                self._digest(each.record.action) if sealed else each.record.action_digest,
                cause.tenant,
                each.record.run_id,
                each.record.task_id,
                each.record.agent_id,
                token,
                issued,
                expires,
            )
            for each in acting
        ]
        for each, permit in zip(acting, await self._signer.sign_permits(permits), strict=True):
            each.permit, each.permit_expire_time = permit, expires


def _allowed(each: Decision) -> bool:
    return each.judgement.verdict is Verdict.ALLOW


def _shows_approval(each: Decision) -> bool:
    return each.judgement.verdict is Verdict.NEEDS_APPROVAL and bool(each.record.approval_id)


def _want(asked: Decision, draw: Draw | None, seal: Seal | None) -> Want:
    def refused(by: BudgetRefusal) -> DecisionRecord:
        return sealed_record(refused_after_all(asked.record, decision.spent(by)), seal)

    allowed = asked.judgement.verdict is Verdict.ALLOW
    return Want(sealed_record(asked.record, seal), draw if allowed else None, refused)
