"""The agent is asked what is wrong and what to do; its answer is held against the log before it counts."""

import asyncio

from kernel.faults import Refused
from services.orchestrator.domain import wants
from services.orchestrator.domain.proposal import checked
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import Carried, StepLimits
from services.orchestrator.handlers.recording import Recording
from services.orchestrator.ports import Clock
from services.orchestrator.ports.crew import Crew, Task
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_CHECKED_AT_ONCE = 256 * 1024  # characters of a log: a thread would cost more than the looking


class Thinking:
    def __init__(
        self,
        crew: Crew,
        state: StateDoor,
        knowledge: Knowledge,
        privacy: Privacy,
        recording: Recording,
        clock: Clock,
        limits: StepLimits,
    ) -> None:
        self._crew = crew
        self._state = state
        self._knowledge = knowledge
        self._privacy = privacy
        self._recording = recording
        self._clock = clock
        self._limits = limits

    async def ask(self, run: Run, carried: Carried) -> None:
        """Record the agent's plan, and what is known of such incidents.

        Raises:
            Fault: PROPOSAL_INVALID, the answer does not hold; AGENT_FAILED, there is none.
        """
        started = run.known
        text = await self._log_text(run, carried)
        task = Task(
            run_id=carried.run_id,
            packet=started.packet,
            log=text.encode("utf-8", "surrogatepass"),
            strategy=started.strategy,
            max_reasoning_cycles=started.max_reasoning_cycles,
            target_reasoning_score=started.target_reasoning_score,
            mode=started.mode,
        )
        proposal = await self._crew.think(carried.tenant, run.agent_id, task, self._limits.think_seconds)
        if started.source is not None and proposal.incident is None:
            raise Refused("PROPOSAL_INVALID", "the run has a log, so its proposal needs an incident")
        if len(text) <= _CHECKED_AT_ONCE:
            proposal = checked(proposal, text.split("\n"))
        else:
            proposal = await asyncio.to_thread(checked, proposal, text.split("\n"))
        incident = proposal.incident
        past = await self._knowledge.similar(carried.tenant, incident) if incident else ()
        await self._recording.append(
            carried, wants.RecordPlan(incident, proposal.plan, proposal.cycles, past, self._clock()), "plan"
        )
        carried.log_text = None

    async def _log_text(self, run: Run, carried: Carried) -> str:
        if run.known.source is None:
            return ""
        if carried.log_text is None:
            content = await self._state.get_artifact(
                run.known.source.artifact_sha256,
                run.agent_id,
                carried.run_id,
                self._recording.cause(carried, "log"),
            )
            key_id = run.known.subject_key
            content = await self._privacy.open_bytes(carried.tenant, key_id, content)
            carried.log_text = content.decode("utf-8", "replace")
        return carried.log_text
