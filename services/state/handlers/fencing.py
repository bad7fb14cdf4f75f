"""What came of a command that shows a fencing token: it counted, or its refusal was recorded.

What changes the agent itself is safe by the log: it is appended behind the very event that it was decided on. An
entry, a message, a checkpoint or an artifact goes to another aggregate, and what is published bears one expectation,
that aggregate's: so the token is looked at again in the moment before it is sent, and nothing is sent on what was seen
of the log longer ago than `TRUSTED_SECONDS`. A process that was stopped meanwhile, and does not know it, looks first.
"""

from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from kernel.events import Appended, Cause, derived_id
from kernel.faults import Unavailable
from kernel.ports import Aggregates
from services.state.domain.faults import FencingTokenStale
from services.state.domain.lock import ShowToken, show
from services.state.handlers.kept import Kept, KeptAgents
from services.state.handlers.working import Working
from services.state.handlers.writing import Writing
from services.state.ports import Clock

S = TypeVar("S")
C = TypeVar("C")

TRUSTED_SECONDS = (0.005, 0.05, 0.2, 0.5, 1.0)
"""So long may a token be taken for what it was when the end of the log was asked for; longer for each time that the
write has looked again, for where a look takes long nobody would ever write."""


class Fencing:
    """Lets pass what shows the token of the lock as it now is."""

    def __init__(self, kept: Kept, working: Working, writing: Writing, clock: Clock) -> None:
        self.writing = writing
        self._agents = kept.agents
        self._working = working
        self._clock = clock
        self._looked_at, self._doubts = float("-inf"), 0

    async def answered(
        self, of: Aggregates[S, C], id: str, command: type[C], shown: ShowToken, cause: Cause
    ) -> Appended | None:
        """What the request wrote, for such a command, when it was asked before, whoever has the lock by now.

        `None` when it did not, and the token is the newest; or none (0) is shown, and this replica knows of nothing.

        Raises:
            FencingTokenStale: recorded.
            Invalid: the lock is for another task, or of another run.
            Unavailable: it cannot be known.
        """
        if not shown.fencing_token:
            return of.answered(id, command, cause)
        # A good token leaves no event, so that no append would tell this replica that it is behind: it looks.
        await self.look()
        before = of.answered(id, command, cause)
        if before is None:
            await self._show(shown, cause)
        return before

    async def write(
        self, of: Aggregates[S, C], id: str, command: C, shown: ShowToken, cause: Cause
    ) -> Appended:
        """`command` decided and appended, under the token when one is shown.

        Raises:
            Fault: as `Aggregates.handle`.
            FencingTokenStale: the token has gone stale in the meantime; nothing was written but this (recorded).
            Unavailable: it cannot be known, or what was sent before cannot be sent again under this token.
        """
        if not shown.fencing_token:
            return await of.handle(id, command, cause)
        try:
            return await of.handle(id, command, cause, _Guard(self, self._agents, shown, cause))
        except FencingTokenStale:
            await self._show(shown, cause)
            raise

    async def look(self) -> None:
        """Wait until all that is in the log at this moment is known here. Raises Unavailable."""
        at, doubts = self._clock.monotonic(), self.writing.doubts
        await self._working.catch_up()
        if at > self._looked_at:
            self._looked_at, self._doubts = at, doubts

    def trusts(self, seconds: float) -> bool:
        """Whether the log was looked at in the last `seconds`, and nothing is in doubt since."""
        recent = self._clock.monotonic() - self._looked_at <= seconds
        return recent and self._doubts == self.writing.doubts

    async def _show(self, shown: ShowToken, cause: Cause) -> None:
        """Who calls this has just looked: a good token, which leaves no event, needs no other look."""
        if show(self._agents.current(cause.tenant, shown.agent_id).lock, shown) is None:
            return
        # By the token as well: what was refused may be asked for again once the lock is acquired anew.
        request_id = derived_id(f"token {shown.fencing_token}", cause.request_id)
        appended = await self._agents.handle(shown.agent_id, shown, replace(cause, request_id=request_id))
        if appended.event_ids:  # there is no other event of it
            raise refused(self._agents, shown.agent_id, shown.fencing_token, cause)


class _Guard:
    """Of one write under a token, see `kernel.ports.Guard`."""

    __slots__ = ("_agents", "_cause", "_fencing", "_looks", "_shown")

    def __init__(
        self,
        fencing: Fencing,
        kept: KeptAgents,
        shown: ShowToken,
        cause: Cause,
    ) -> None:
        self._fencing = fencing
        self._agents = kept
        self._shown = shown
        self._cause = cause
        self._looks = 0

    def __call__(self) -> Awaitable[object] | None:
        tenant, agent_id = self._cause.tenant, self._shown.agent_id
        settled = self._fencing.writing.settled(tenant, agent_id)
        if settled is not None:
            return settled
        if show(self._agents.current(tenant, agent_id).lock, self._shown) is not None:
            raise refused(self._agents, agent_id, self._shown.fencing_token, self._cause)
        if self._fencing.trusts(TRUSTED_SECONDS[self._looks]):
            return None
        self._looks += 1
        if self._looks == len(TRUSTED_SECONDS):
            raise Unavailable("FOLLOWER_BEHIND", "the log cannot be read as fast as it is needed; try again")
        return self._fencing.look()


def require_accepted(
    kept: KeptAgents,
    agent_id: str,
    presented: int,
    appended: Appended,
    cause: Cause,
) -> None:
    """Raises FencingTokenStale when `appended` was a refusal, now or when this was first asked."""
    if appended.event_ids and appended.sequence in kept.current(cause.tenant, agent_id).refusals:
        raise refused(kept, agent_id, presented, cause)


def refused(kept: KeptAgents, agent_id: str, presented: int, cause: Cause) -> FencingTokenStale:
    """That the token presented is not the newest, and which one is."""
    lock = kept.current(cause.tenant, agent_id).lock
    return FencingTokenStale(agent_id, presented, lock.fencing_token if lock else 0)
