"""Revocation: all power is taken away at once, and whoever held some of it says that it is gone.

What is durable is effective: what fails after that costs words in the receipt, or the receipt, never the revocation.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kernel.events import Cause, derived_id
from kernel.faults import Fault, Invalid
from kernel.ports import Following
from services.policy.domain.actor import POLICY
from services.policy.domain.agent import Agent
from services.policy.domain.faults import AgentAlreadyRevoked, ReceiptUnknown
from services.policy.domain.revocation import ConfirmRevocation, Receipt, RevokeAgent
from services.policy.handlers.known import found_agent
from services.policy.handlers.lineage import controlled
from services.policy.ports import Held, Means
from services.policy.ports.powers import Heard

DEFAULT_WAIT_MS, MAX_WAIT_MS = 2000, 10_000
BY_HAND, PARENT_REVOKED = "operator", "parent_revoked"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Revoked:
    """Who was revoked, and where that stands in the log."""

    tenant: str
    agent_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The receipt is None when it could not be written: it follows, or nobody knows what it would say."""

    agent: Agent
    sequence: int
    receipt: Receipt | None


class Revocation:
    def __init__(self, held: Held, following: Following, means: Means) -> None:
        self._held = held
        self._agents = held.agents
        self._following = following
        self._words = means.words
        self._signer = means.signer
        self._now = means.now

    async def revoke(self, agent_id: str, kind: str, details: str, wait_ms: int, cause: Cause) -> Answered:
        """Take all power from an agent and those it controls, for good; 0 to wait means 2 seconds, no kind by hand.

        Sent again, it answers with the receipt as it is.

        Raises:
            AgentUnknown, AgentAlreadyRevoked
            Invalid: `wait_ms` is out of bounds.
        """
        if not 0 <= wait_ms <= MAX_WAIT_MS:
            text = f"wait_ms must be 0 to {MAX_WAIT_MS}, not {wait_ms}"
            raise Invalid("FIELD_INVALID", text, field="wait_ms")
        await found_agent(self._held, self._following, cause.tenant, agent_id)
        command = RevokeAgent(agent_id, kind or BY_HAND, details, cause.actor, cause.at)
        appended = await self._agents.handle(agent_id, command, cause)
        revoked = Revoked(cause.tenant, agent_id, appended.sequence)
        wait_seconds = (wait_ms or DEFAULT_WAIT_MS) / 1000
        # Sent again, somebody else may have heard what was said the first time.
        receipt = await self.confirm(revoked, wait_seconds, cause, again=appended.duplicate)
        return Answered(self._agents.current(cause.tenant, agent_id), appended.sequence, receipt)

    async def receipt(self, tenant: str, agent_id: str, at_least_sequence: int) -> Receipt:
        """What a revocation took, and how fast.

        Raises:
            AgentUnknown
            ReceiptUnknown: it is not revoked, the receipt is being made, or was never made.
        """
        await self._following.reached(at_least_sequence)
        agent = await found_agent(self._held, self._following, tenant, agent_id)
        if agent.receipt is None:
            raise ReceiptUnknown(agent_id, revoked=bool(agent.fell_with))
        return agent.receipt

    async def confirm(
        self, revoked: Revoked, wait_seconds: float, cause: Cause, *, again: bool = False
    ) -> Receipt | None:
        """Revoke those it controls, collect the words about all of them, and write the receipts. Raises no Fault."""
        try:
            known = self._agents.current(revoked.tenant, revoked.agent_id).receipt
            if known is not None:
                return known
            children = await self._revoke_children(revoked, cause)
            # All at once: who waits for the receipt waits for the slowest word, not for one after the other.
            *words, own = await asyncio.gather(
                *(
                    self._words.collect(each.tenant, each.agent_id, each.sequence, wait_seconds, again=again)
                    for each in (*children, revoked)
                )
            )
            pairs = zip(children, words, strict=True)
            await asyncio.gather(*(self._receipt(child, (), heard, cause) for child, heard in pairs))
            names = tuple(sorted(child.agent_id for child in children))
            return await self._receipt(revoked, names, own, cause)
        except Fault as fault:
            _log.warning("no receipt yet for the revocation of %s: %s", revoked.agent_id, fault.text)
            return None

    async def revoke_child(
        self, tenant: str, agent_id: str, parent_agent_id: str, cause: Cause
    ) -> Revoked | None:
        """Revoke an agent because its parent, or one above that, is; None when it was revoked before."""
        registered = self._agents.current(tenant, agent_id).registered
        nearest = registered is None or registered.parent_agent_id == parent_agent_id
        details = (
            f"its parent {parent_agent_id} was revoked"
            if nearest
            else f"{parent_agent_id}, which it descends from, was revoked"
        )
        request_id = derived_id(tenant, PARENT_REVOKED, parent_agent_id, agent_id)
        own = replace(
            cause, request_id=request_id, asker=POLICY
        )  # whoever revoked the parent, and who takes over
        command = RevokeAgent(agent_id, PARENT_REVOKED, details, cause.actor, cause.at)
        try:
            appended = await self._agents.handle(agent_id, command, own)
        except AgentAlreadyRevoked:
            return None
        return Revoked(tenant, agent_id, appended.sequence)

    async def _revoke_children(self, revoked: Revoked, cause: Cause) -> Sequence[Revoked]:
        # A child that was registered before the revocation must be known here.
        await self._following.reached(revoked.sequence)
        led_by = self._agents.head(revoked.tenant, revoked.agent_id).event_id
        cause = replace(cause, causation_id=led_by or cause.causation_id)
        found = await asyncio.gather(
            *(
                self.revoke_child(revoked.tenant, child, revoked.agent_id, cause)
                for child in controlled(self._agents, revoked.tenant, revoked.agent_id)
            )
        )
        return [child for child in found if child is not None]

    async def _receipt(
        self,
        revoked: Revoked,
        children: tuple[str, ...],
        heard: Heard,
        cause: Cause,
    ) -> Receipt | None:
        tenant, agent_id = revoked.tenant, revoked.agent_id
        at = self._now()
        since = self._agents.current(tenant, agent_id).revoked
        waited = max(0, round((at - since.at).total_seconds() * 1e6)) / 1000 if since else 0.0
        receipt = Receipt(
            agent_id,
            revoked.sequence,
            since.at if since else None,
            heard.lost,
            heard.silent,
            children,
            waited,
            "",
        )
        receipt = replace(receipt, signature=self._signer.sign_receipt(tenant, receipt, at))
        # The same id from every replica: there is one receipt, whoever writes it.
        own = replace(cause, request_id=derived_id(tenant, "receipt", agent_id), at=at, asker=POLICY)
        await self._agents.handle(agent_id, ConfirmRevocation(agent_id, receipt, at), own)
        return self._agents.current(tenant, agent_id).receipt
