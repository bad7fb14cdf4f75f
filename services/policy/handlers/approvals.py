"""Approvals: asked for, answered by a person, read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from kernel.events import Cause, derived_id
from kernel.faults import Invalid
from kernel.ports import Aggregates, Following
from services.policy.domain.action import Action, RunContext
from services.policy.domain.approval import (
    AnswerApproval,
    Approval,
    ApprovalAnswered,
    ApprovalRequested,
    ApprovalState,
    Command,
    RequestApproval,
)
from services.policy.domain.faults import ApprovalUnknown, DigestMismatch
from services.policy.handlers.keeping import action_kept, digest_kept
from services.policy.handlers.pages import Page, after, page_of, size_of
from services.policy.ports import Means

DEFAULT_TTL_SECONDS = 3600
MAX_TTL_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class ShownApproval:
    """An approval as it stands at one moment."""

    requested: ApprovalRequested
    state: ApprovalState
    answered: ApprovalAnswered | None


class Approvals:
    def __init__(
        self,
        approvals: Aggregates[Approval, Command],
        following: Following,
        means: Means,
    ) -> None:
        self._approvals = approvals
        self._following = following
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
        """Ask people for one exact action; 0 seconds to live means an hour.

        Raises:
            DigestMismatch: `digest` is given and is not the action's.
            Invalid: `requested_by` is missing, or it is to live longer than a week.
        """
        seal = await self._keys.of_key(cause.tenant, context.subject_key) if context.subject_key else None
        computed = digest_kept(self._digest(action), seal)
        if digest and digest != computed:
            raise DigestMismatch(digest, computed)
        if not requested_by:
            raise Invalid("FIELD_MISSING", "requested_by must name who started the run", field="requested_by")
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            text = f"ttl_seconds must be 0 to {MAX_TTL_SECONDS}"
            raise Invalid("FIELD_INVALID", text, field="ttl_seconds")
        approval_id = derived_id(cause.tenant, "approval", cause.request_id).replace("-", "")
        expire_time = cause.at + timedelta(seconds=ttl_seconds or DEFAULT_TTL_SECONDS)
        command = RequestApproval(
            approval_id, action_kept(action, seal), computed, context.run_id, context.task_id, context.agent_id,
            requested_by, seal.seal(why) if seal else why, cause.at, expire_time, context.subject_key,
        )  # fmt: skip
        appended = await self._approvals.handle(approval_id, command, cause)
        return self._shown(cause.tenant, approval_id), appended.sequence

    async def answer(
        self, approval_id: str, approve: bool, comment: str, cause: Cause
    ) -> tuple[ShownApproval, int]:
        """Say yes or no.

        Raises:
            ApprovalUnknown, ApprovalClosed, ApprovalExpired, SelfApproval, ApproverNotAPerson
        """
        requested = self._shown(cause.tenant, approval_id).requested
        # People answer from outside: what they answer is what led to it.
        asked = self._approvals.head(cause.tenant, approval_id).event_id
        cause = replace(
            cause,
            correlation_id=cause.correlation_id or requested.run_id,
            causation_id=cause.causation_id or asked,
        )
        if requested.subject_key:
            comment = (await self._keys.of_key(cause.tenant, requested.subject_key)).seal(comment)
        command = AnswerApproval(approval_id, approve, cause.actor, comment, cause.at)
        appended = await self._approvals.handle(approval_id, command, cause)
        return self._shown(cause.tenant, approval_id), appended.sequence

    async def read(self, tenant: str, approval_id: str, at_least_sequence: int) -> ShownApproval:
        """Raises ApprovalUnknown."""
        await self._following.reached(at_least_sequence)
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

    def _shown(self, tenant: str, approval_id: str) -> ShownApproval:
        approval = self._approvals.current(tenant, approval_id)
        if approval.requested is None:
            raise ApprovalUnknown(approval_id)
        return ShownApproval(approval.requested, approval.state_at(self._now()), approval.answered)
