"""Approvals: asked for, answered by people, read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

from kernel.events import Cause, derived_hex
from kernel.faults import Denied, Invalid
from kernel.ports import Following
from services.policy.domain.action import Action, RunContext
from services.policy.domain.approval import Approval, ApprovalRequested, ApprovalState, RequestApproval
from services.policy.domain.checks import hopeless
from services.policy.domain.decision import DecisionRecord, Verdict, judge
from services.policy.domain.demand import PROMOTE, Demand, asked_of, demand_of
from services.policy.domain.faults import (
    AgentIsRevoked,
    AgentUnknown,
    ApprovalUnknown,
    DigestMismatch,
    NoYesHelps,
)
from services.policy.domain.question import Question
from services.policy.domain.votes import VOTER, AnswerApproval, ApprovalAnswered, ApprovalVoted, Vote
from services.policy.handlers.ask import Ask
from services.policy.handlers.judging import Judging
from services.policy.handlers.lineage import lineage
from services.policy.handlers.pages import Page, after, page_of, size_of
from services.policy.handlers.sealing import sealed_action, sealed_digest
from services.policy.ports import Held, Means

MAX_TTL_SECONDS = 7 * 24 * 3600
ANSWER = "approval.answer"


@dataclass(frozen=True, slots=True)
class ShownApproval:
    """An approval as it stands at one moment."""

    requested: ApprovalRequested
    state: ApprovalState
    votes: tuple[ApprovalVoted, ...]
    answered: ApprovalAnswered | None


class Approvals:
    def __init__(self, held: Held, judging: Judging, following: Following, means: Means) -> None:
        self._held = held
        self._agents = held.agents
        self._approvals = held.approvals
        self._judging = judging
        self._following = following
        self._record = means.record
        self._digest = means.digest
        self._keys = means.keys
        self._now = means.now

    async def request(
        self,
        context: RunContext,
        action: Action,
        *,
        digest: str,
        why: str,
        requested_by: str,
        ttl_seconds: int,
        cause: Cause,
    ) -> tuple[ShownApproval, int]:
        """Ask people for one exact action: as many, and for as long, as the rule says that asks for it.

        `ttl_seconds` may make it shorter; 0 leaves it to the rule.

        Raises:
            DigestMismatch: `digest` is given and is not the action's.
            Invalid: `requested_by` is missing, it is to live longer than a week, or only policy requests such.
            AgentUnknown, AgentIsRevoked, NoYesHelps: no yes could help it. What was requested before is told as it is.
        """
        if action.name == PROMOTE:
            raise Invalid("FIELD_INVALID", f"{PROMOTE} is asked for with PromoteAgent", field="action.name")
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            text = f"ttl_seconds must be 0 to {MAX_TTL_SECONDS}"
            raise Invalid("FIELD_INVALID", text, field="ttl_seconds")
        if not requested_by:
            raise Invalid("FIELD_MISSING", "requested_by must name who started the run", field="requested_by")
        seal = await self._keys.of_key(cause.tenant, context.subject_key) if context.subject_key else None
        computed = sealed_digest(self._digest(action), seal)
        if digest and digest != computed:
            raise DigestMismatch(digest, computed)
        approval_id = derived_hex(cause.tenant, "approval", cause.request_id)
        again = self._approvals.current(cause.tenant, approval_id).requested is not None
        demand = await self._demanded(context, action, cause, again=again)
        seconds = min(ttl_seconds or demand.ttl_seconds, demand.ttl_seconds)
        command = RequestApproval(
            approval_id=approval_id,
            action=sealed_action(action, seal),
            action_digest=computed,
            run_id=context.run_id,
            task_id=context.task_id,
            agent_id=context.agent_id,
            requested_by=requested_by,
            why=seal.seal(why) if seal else why,
            at=cause.at,
            expire_time=cause.at + timedelta(seconds=seconds),
            subject_key=context.subject_key,
            rule=demand.rule,
            needed=demand.needed,
            approvers=demand.approvers,
            parts=demand.parts,
        )
        appended = await self._approvals.handle(approval_id, command, cause)
        return self._shown(cause.tenant, approval_id), appended.sequence

    async def _demanded(self, context: RunContext, action: Action, cause: Cause, *, again: bool) -> Demand:
        """What the set in force asks of people for this, whatever the caller thinks."""
        ask = Ask(context, (action,), {})
        facts = self._judging.facts(cause.tenant, ask, trusted=True)
        (question,) = await self._judging.questions(cause.tenant, ask, facts, (), cause.at)
        if not again:
            require_hope(question)
        judgement = judge(question)
        if judgement.verdict is Verdict.NEEDS_APPROVAL:
            return demand_of(facts.policy, judgement.rule, facts.agent.tier, action)
        return asked_of(facts.policy, facts.agent.tier, action, context.mode)

    async def answer(
        self, approval_id: str, vote: Vote, comment: str, cause: Cause
    ) -> tuple[ShownApproval, int]:
        """Say yes, no, or that it should be otherwise. Who may not, and tries, is on record.

        Raises:
            ApprovalUnknown, ApprovalClosed, ApprovalExpired, SelfApproval, ApproverNotAPerson, ApproverNotNamed
            AgentIsRevoked: there is nothing left to say yes or no to.
        """
        await self._look_for(cause.tenant, approval_id)
        requested = self._shown(cause.tenant, approval_id).requested
        if self._agents.current(cause.tenant, requested.agent_id).fell_with:
            raise AgentIsRevoked(requested.agent_id)
        # People answer from outside: what they answer is what led to it.
        asked = self._approvals.head(cause.tenant, approval_id).event_id
        cause = replace(
            cause,
            correlation_id=cause.correlation_id or requested.run_id,
            causation_id=cause.causation_id or asked,
        )
        if requested.subject_key:
            comment = (await self._keys.of_key(cause.tenant, requested.subject_key)).seal(comment)
        above = lineage(self._agents, cause.tenant, requested.agent_id)
        command = AnswerApproval(approval_id, vote, cause.actor, comment, cause.at, above)
        try:
            appended = await self._approvals.handle(approval_id, command, cause.about(vote))
        except Denied as fault:
            await self._on_record(requested, fault, cause)
            raise
        return self._shown(cause.tenant, approval_id), appended.sequence

    async def _on_record(self, requested: ApprovalRequested, fault: Denied, cause: Cause) -> None:
        agent = self._agents.current(cause.tenant, requested.agent_id)
        name = f"{cause.tenant}:{requested.approval_id}:{cause.actor}:{fault.reason}:{cause.request_id}"
        record = DecisionRecord(
            decision_id=blake2b(name.encode(), digest_size=16, person=b"provost.voter").hexdigest(),
            agent_id=requested.agent_id,
            run_id=requested.run_id,
            task_id=requested.task_id,
            action=Action("", ANSWER, requested.approval_id, "", {}),
            mode=None,
            verdict=Verdict.DENY,
            rule=VOTER,
            reason=fault.reason,
            explanation=f"{cause.actor} tried to answer: {fault.text}.",
            tier=agent.tier if agent.registered is not None else None,
            policy_version="",
            action_digest=requested.action_digest,
            approval_id=requested.approval_id,
            agent_version=agent.agent_version,
            at=cause.at,
        )
        await self._record.commit([record], cause)

    async def read(self, tenant: str, approval_id: str, at_least_sequence: int) -> ShownApproval:
        """Raises ApprovalUnknown."""
        await self._following.reached(at_least_sequence)
        await self._look_for(tenant, approval_id)
        return self._shown(tenant, approval_id)

    def list(
        self, tenant: str, page_size: int, page_token: str, state: ApprovalState, run_id: str
    ) -> Page[ShownApproval]:
        """Those in `state`, newest first; of one run if `run_id` is given."""

        def wanted() -> Iterator[tuple[str, ShownApproval]]:
            newest_first = reversed([approval_id for approval_id, _ in self._approvals.all(tenant)])
            for approval_id in after(newest_first, page_token):
                shown = self._shown(tenant, approval_id)
                if shown.state is state and run_id in ("", shown.requested.run_id):
                    yield approval_id, shown

        return page_of(wanted(), size_of(page_size))

    async def _look_for(self, tenant: str, approval_id: str) -> None:
        """What is not known here may have been requested at another replica a moment ago."""
        if self._approvals.current(tenant, approval_id).requested is None:
            await self._held.catch_up(self._following)

    def _shown(self, tenant: str, approval_id: str) -> ShownApproval:
        shown = shown_approval(self._approvals.current(tenant, approval_id), approval_id, self._now())
        over = shown.state not in (ApprovalState.PENDING, ApprovalState.APPROVED)
        if over or not self._agents.current(tenant, shown.requested.agent_id).fell_with:
            return shown
        return replace(shown, state=ApprovalState.EXPIRED)  # nobody waits for it any more, nor can use it


def require_hope(question: Question) -> None:
    """Raises AgentUnknown, AgentIsRevoked, NoYesHelps: whatever people said, it would be refused."""
    refusal = hopeless(question)
    if refusal is None:
        return
    match refusal.reason:
        case "AGENT_UNKNOWN":
            raise AgentUnknown(question.agent_id)
        case "AGENT_REVOKED":
            raise AgentIsRevoked(question.agent_id)
        case reason:
            raise NoYesHelps(reason, refusal.explanation)


def shown_approval(approval: Approval, approval_id: str, at: datetime) -> ShownApproval:
    """The approval as it stands at that moment. Raises ApprovalUnknown."""
    if approval.requested is None:
        raise ApprovalUnknown(approval_id)
    return ShownApproval(approval.requested, approval.state_at(at), approval.votes, approval.answered)
