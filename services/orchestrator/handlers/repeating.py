"""A request whose id has begun a run before: it is answered with that run if it asks for the same, else refused.

What cannot be read, as it was erased, its file has gone or nobody answers, is not compared.
"""

from dataclasses import replace
from typing import TypeAlias

from kernel.events import Cause
from kernel.faults import Fault
from services.orchestrator.domain.facts import RunStarted
from services.orchestrator.domain.faults import RequestIdReused
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.wants import StartRun
from services.orchestrator.ports import Runs
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_Begun: TypeAlias = StartRun | RunStarted


class Repeating:
    def __init__(self, runs: Runs, privacy: Privacy, state: StateDoor) -> None:
        self._runs = runs
        self._privacy = privacy
        self._state = state

    async def require_same(self, asked: StartRun, subject: str, content: bytes, cause: Cause) -> None:
        """Nothing when the run was begun for what is asked now, unsealed, over `content`, its log without secrets.

        Raises:
            RequestIdReused: it was begun for something else.
        """
        began = self._runs.current(cause.tenant, asked.run_id).known
        if _in_the_clear(began) != _in_the_clear(asked):
            raise RequestIdReused
        tenant, key_id = cause.tenant, began.subject_key
        try:
            objective = (await self._privacy.opened(tenant, key_id, Run(began))).known.objective
            theirs = await self._privacy.key_of(tenant, subject) if key_id else ""
        except Fault:
            return
        if (objective, key_id) != (asked.objective, theirs):
            raise RequestIdReused
        if began.source is not None:
            await self.require_log(began.source.artifact_sha256, key_id, content, cause)

    async def require_log(self, sha256: str, key_id: str, content: bytes, cause: Cause) -> None:
        """Nothing when the artifact holds `content`: sealed twice, the same log has other bytes each time.

        Raises:
            RequestIdReused: it holds another log, or is sealed for another subject.
        """
        try:
            sealed = await self._state.get_artifact(sha256, "", "", cause)
            kept = await self._privacy.open_bytes(cause.tenant, key_id, sealed)
        except ValueError:
            raise RequestIdReused from None
        except Fault:
            return
        if kept != content:
            raise RequestIdReused


def _in_the_clear(begun: _Begun) -> tuple[object, ...]:
    """What is compared and never sealed. When it was asked may differ, and who does it where anybody may."""
    source, packet = begun.source, begun.packet
    return (
        begun.task_id,
        begun.agent_id if source is None else "",
        begun.mode,
        begun.strategy,
        begun.include_trace,
        source and replace(source, artifact_sha256=""),
        packet and replace(packet, objective="", created_at=None),
    )
