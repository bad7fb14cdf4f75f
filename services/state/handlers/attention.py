"""What agents say of their work, and which of them get nowhere."""

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.events import Cause, require_token
from kernel.faults import Fault, Unavailable
from services.state.domain.agent import decide
from services.state.domain.attention import MAX_WORD_CHARACTERS, ReportWaiting, Stuck, Waiting
from services.state.domain.bounds import DEFAULT_BEAT_SECONDS, require_seconds, require_text
from services.state.domain.page import Page, after_name
from services.state.domain.snapshot import AgentSnapshot
from services.state.handlers.agents import Agents
from services.state.handlers.fencing import require_accepted
from services.state.handlers.kept import Kept, known
from services.state.handlers.vigil import Vigil
from services.state.handlers.writing import Writing
from services.state.ports import Mirror

_ALIVE = timedelta(seconds=DEFAULT_BEAT_SECONDS)
_STORE_SECONDS = 0.2
"""So long a report waits for the store, which may hang: what it says is in the log by then."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done and what came of it, as digests or short words, or that the agent waits."""

    agent_id: str
    task_id: str
    run_id: str
    action: str
    result: str
    waiting: Waiting | None
    fencing_token: int = 0


class Attention:
    """Reports in, judgements out."""

    def __init__(self, kept: Kept, agents: Agents, mirror: Mirror, vigil: Vigil, writing: Writing) -> None:
        self._writing = writing
        self._kept = kept.agents
        self._agents = agents
        self._mirror = mirror
        self._vigil = vigil
        self._beating: set[asyncio.Task[None]] = set()

    async def heartbeat(self, agent_id: str, ttl_seconds: int, cause: Cause) -> timedelta:
        """How long it is good for. Raises AgentStateUnknown, Invalid, Unavailable."""
        lifetime = timedelta(seconds=require_seconds(ttl_seconds, "ttl_seconds"))
        known(self._kept, cause.tenant, agent_id)
        self._vigil.beat(cause.tenant, agent_id)
        await self._mirror.beat(cause.tenant, agent_id, cause.at, self._kept_until(lifetime, cause))
        return lifetime

    async def report(self, activity: Activity, cause: Cause) -> Stuck | None:
        """How the agent is stuck, if it is judged so.

        Raises:
            FencingTokenStale: another run is at work by now, and nothing of this counts for it (recorded).
            AgentIsRevoked: all that may be said of it any more is that it waits for nothing.
            AgentStateUnknown, Invalid.
        """
        agent_id, token = activity.agent_id, activity.fencing_token
        run_id, did = activity.run_id, bool(activity.action)
        apart = run_id in known(self._kept, cause.tenant, agent_id).parted
        for name, word in (("action", activity.action), ("result", activity.result)):
            require_text(word, name, MAX_WORD_CHARACTERS)
        command = ReportWaiting(
            agent_id, activity.task_id, run_id, activity.waiting, cause.at, token, cause.actor, did
        )
        ends, waits = activity.waiting is None and not did, activity.waiting
        awaited = (waits.kind, waits.what, str(waits.until)) if waits else ()
        asked = cause.about(activity.task_id, run_id, str(did), *awaited)
        if did and waits is None and self._is_known(command, asked):
            self._writing.require_power(cause.tenant, agent_id)
        else:
            try:
                with nullcontext() if ends else self._writing.by(cause.tenant, agent_id):
                    appended = await self._kept.handle(agent_id, command, asked)
            except Unavailable:
                self._heard(activity, cause.tenant)  # the log is away, and not the agent
                raise
            require_accepted(self._kept, agent_id, token, appended, cause)
        if apart and ends:
            return None  # that it waits no more is no sign of the run that has the agent now
        active = self._heard(activity, cause.tenant)
        beating = asyncio.ensure_future(self._beat(agent_id, active, cause))
        self._beating.add(beating)
        beating.add_done_callback(self._beating.discard)
        await asyncio.wait({beating}, timeout=_STORE_SECONDS)
        found = self._kept.current(cause.tenant, agent_id).found
        return found.stuck if found else None

    def _is_known(self, command: ReportWaiting, cause: Cause) -> bool:
        """Whether it writes nothing, by what has been followed here: most reports only say that work goes on.

        They come again and again, so that the log is not asked about each: one that misses a wait or a lock of a moment
        ago is put right by the next. Who tells of a wait may tell of it once, and of that the log is asked.
        """
        if self._kept.answered(command.agent_id, ReportWaiting, cause) is not None:
            return False
        try:
            return decide(self._kept.current(cause.tenant, command.agent_id), command) is None
        except Fault:
            return False  # a no is for who looks at all of the log

    def _heard(self, activity: Activity, tenant: str) -> bool:
        """Whether it has done something else than before."""
        active = bool(activity.action) and self._vigil.did(
            tenant, activity.agent_id, activity.action, activity.result
        )
        self._vigil.beat(tenant, activity.agent_id)
        return active

    async def _beat(self, agent_id: str, active: bool, cause: Cause) -> None:
        """The store has it for other processes; this one has it in memory."""
        until = self._kept_until(_ALIVE, cause)
        with suppress(Unavailable):
            await self._mirror.beat(cause.tenant, agent_id, cause.at, until, active=active)

    async def list_stuck(
        self, task_id: str, page_size: int, page_token: str, cause: Cause
    ) -> Page[AgentSnapshot]:
        """By agent, of one task or of all. Raises Invalid, Unavailable."""
        if task_id:
            require_token(task_id, "task_id")
        stuck = sorted(
            agent_id
            for agent_id, agent in self._kept.all(cause.tenant)
            if agent.found is not None and (not task_id or agent.found.task_id == task_id)
        )
        page = after_name("stuck", stuck, str, page_size, page_token)
        found = [await self._agents.get_agent_state(agent_id, 0, cause) for agent_id in page.items]
        return Page(tuple(found), page.next_page_token)

    def _kept_until(self, lifetime: timedelta, cause: Cause) -> datetime:
        """Other processes look for it before they find anybody stuck: it stays as long as they are patient."""
        return cause.at + max(lifetime, self._vigil.patience(cause.tenant))
