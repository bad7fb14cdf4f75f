"""How each step of a run is taken: ask the doors, then append what came of it.

Every request id follows from the run and the step, so that a step taken again after a crash has one effect. What goes
wrong is raised; the conductor decides what it means.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from kernel.events import Cause
from kernel.faults import Refused, Unauthenticated, Unavailable
from services.orchestrator.domain import lifecycle as go
from services.orchestrator.domain import phases, wants
from services.orchestrator.domain.budget import VIOLATIONS, breach
from services.orchestrator.domain.outcome import (
    checks_of,
    compliant,
    outcome_of,
    report_of,
    required_artifacts,
)
from services.orchestrator.domain.phases import Phase, RunState
from services.orchestrator.domain.proposal import checked
from services.orchestrator.domain.records import Action, Decision, EffectState, Verdict
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.settling import Settlement, idle, settlements
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried, Limits, RequiredArtifactMissing, Violation
from services.orchestrator.handlers.settling import Settling
from services.orchestrator.ports import Clock, Runs
from services.orchestrator.ports.actuators import ActuatorDoor
from services.orchestrator.ports.crew import Crew, Task
from services.orchestrator.ports.knowledge import Knowledge
from services.orchestrator.ports.policy import PolicyDoor, RunContext
from services.orchestrator.ports.privacy import Privacy
from services.orchestrator.ports.state import StateDoor

_CHECKED_AT_ONCE = 256 * 1024  # characters of a log: a thread would cost more than the looking


class Steps:
    """The steps of a run, one method each."""

    def __init__(
        self,
        runs: Runs,
        policy: PolicyDoor,
        state: StateDoor,
        actuators: ActuatorDoor,
        crew: Crew,
        knowledge: Knowledge,
        privacy: Privacy,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
    ) -> None:
        self._runs = runs
        self._policy = policy
        self._state = state
        self._actuators = actuators
        self._crew = crew
        self._knowledge = knowledge
        self._privacy = privacy
        self._clock = clock
        self._limits = limits
        self._new_id = new_id
        self._settling = Settling(policy, clock)
        self._booking = Booking(state, crew, privacy, clock, limits)

    def cause(self, carried: Carried, *step: str) -> Cause:
        return carried.cause(self._clock(), *step)

    async def take(self, step: go.Step, run: Run, carried: Carried) -> None:
        """Take one step."""
        match step:
            case go.FindAgent():
                agent_id = await self._booking.find(carried)
                await self.append(carried, wants.AssignAgent(agent_id, self._clock()), "assign")
            case go.Bootstrap():
                await self._bootstrap(run, carried)
            case go.Preflight():
                await self._preflight(run, carried)
            case go.Enter(phase):
                await self._enter(run, carried, phase)
            case go.AskAgent():
                await self._ask_agent(run, carried)
            case go.Authorize(actions, approval_ids):
                await self._authorize(run, carried, actions, dict(approval_ids))
            case go.RequestApprovals(actions):
                await self._request_approvals(run, carried, actions)
            case go.AwaitAnswers(approval_ids):
                await self._await_answers(run, carried, approval_ids)
            case go.Preview(actions):
                await self._preview(run, carried, actions)
            case go.Perform(effect_id, action):
                await self._perform(run, carried, effect_id, action)
            case go.Verify():
                await self._verify(run, carried)
            case go.Package():
                await self._package(run, carried)
            case go.Exit():
                await self._exit(run, carried)

    def require_here(self, tenant: str, agent_id: str) -> None:
        """Raises SeatedElsewhere."""
        self._booking.require_here(tenant, agent_id)

    async def append(self, carried: Carried, command: wants.Command, *step: str) -> None:
        key_id = self._runs.current(carried.tenant, carried.run_id).known.subject_key
        command = await self._privacy.sealed(carried.tenant, key_id, command)
        appended = await self._runs.handle(carried.run_id, command, self.cause(carried, "run", *step))
        if appended.event_ids:
            carried.led_by = appended.event_ids[-1]

    async def _bootstrap(self, run: Run, carried: Carried) -> None:
        standing = await self._policy.standing(run.agent_id, self.cause(carried, "standing"))
        if standing.revoked:
            raise Refused("AGENT_PREVIOUSLY_REVOKED", f"agent {run.agent_id} was revoked: {standing.why}")
        if standing.suspended:
            why = f" ({standing.why})" if standing.why else ""
            text = f"agent {run.agent_id} is suspended{why}: resume it, or name another agent"
            raise Refused("AGENT_SUSPENDED", text)
        token = await self._booking.take(run, carried, "bootstrap")
        done = wants.EnterPhase(Phase.BOOTSTRAP, token, self._clock())
        await self._conclude(run, carried, done, Phase.BOOTSTRAP, str(token))

    async def regain(self, run: Run, carried: Carried) -> None:
        """The lock was lost while nobody carried the run: take the agent again and go on in the same phase."""
        why = self._new_id()
        token = await self._booking.take(run, carried, why)
        if run.phase is not None:
            await self.append(
                carried, wants.EnterPhase(run.phase, token, self._clock()), run.phase, str(token)
            )

    async def _preflight(self, run: Run, carried: Carried) -> None:
        if not await self._actuators.reachable():
            raise Unavailable(
                "ACTUATORS_UNREACHABLE", "the actuators do not answer; the run goes on when they do"
            )
        await self._enter(run, carried, Phase.PLAN)

    async def _enter(self, run: Run, carried: Carried, phase: Phase) -> None:
        token = run.fencing_token
        await self._booking.advance(run, carried, phase, token)
        await self.append(carried, wants.EnterPhase(phase, token, self._clock()), phase, str(token))

    async def _conclude(self, run: Run, carried: Carried, result: wants.Result, *step: str) -> None:
        """Append what came of a step; if it was the last of its phase, the run is in the next with the same event."""
        phase = go.completes(run, result)
        if phase is not None:
            token = result.fencing_token if isinstance(result, wants.EnterPhase) else run.fencing_token
            await self._booking.advance(run, carried, phase, token)
            result = replace(result, entry=phases.Entry(phase, token))
        await self.append(carried, result, *step)

    async def _ask_agent(self, run: Run, carried: Carried) -> None:
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
        await self.append(
            carried, wants.RecordPlan(incident, proposal.plan, proposal.cycles, past, self._clock()), "plan"
        )
        carried.log_text = None

    async def _log_text(self, run: Run, carried: Carried) -> str:
        if run.known.source is None:
            return ""
        if carried.log_text is None:
            content = await self._state.get_artifact(
                run.known.source.artifact_sha256, self.cause(carried, "log")
            )
            key_id = run.known.subject_key
            content = await self._privacy.open_bytes(carried.tenant, key_id, content)
            carried.log_text = content.decode("utf-8", "replace")
        return carried.log_text

    async def _authorize(
        self, run: Run, carried: Carried, actions: tuple[Action, ...], approval_ids: dict[str, str]
    ) -> None:
        decisions = await self._decided(run, carried, actions, approval_ids)
        result = wants.RecordDecisions(decisions, self._clock())
        step = ("decisions", ",".join(sorted(approval_ids.values())))
        broken = tuple(d for d in decisions if d.verdict is Verdict.DENY and d.reason in VIOLATIONS)
        if broken:
            await self.append(carried, result, *step)
            raise Violation(broken)
        await self._conclude(run, carried, result, *step)
        carried.permits.update({d.action_id: d for d in decisions if d.permit})

    async def _decided(
        self, run: Run, carried: Carried, actions: tuple[Action, ...], approval_ids: dict[str, str]
    ) -> tuple[Decision, ...]:
        token = self._crew.token(carried.tenant, run.agent_id)
        if not token:
            raise Unavailable("PEER_UNREACHABLE", f"agent {run.agent_id} is not attached")
        step: tuple[str, ...]
        if approval_ids:
            # Always the same request: an approval is good for one decision, so whoever asks again has to get that one.
            step = ("approved", ",".join(sorted(run.approval_ids.values())))
        else:
            names = ",".join(action.action_id for action in actions)
            step = ("authorize", names, "", str(run.fencing_token), str(carried.tries))
        try:
            return await self._policy.authorize(
                token,
                self._context(run, carried),
                actions,
                approval_ids,
                self.cause(carried, *step),
            )
        except Unauthenticated as fault:
            # The agent renews its session by itself; that its old one ended in between is nobody's error.
            carried.tries += 1
            text = f"the session of agent {run.agent_id} is over ({fault.reason}); waiting for a fresh one"
            raise Unavailable("TOKEN_EXPIRED", text) from None

    def _context(self, run: Run, carried: Carried) -> RunContext:
        return RunContext(
            run_id=carried.run_id,
            task_id=run.known.task_id,
            agent_id=run.agent_id,
            mode=run.known.mode,
            fencing_token=run.fencing_token,
            at_least_sequence=carried.known_sequence,
            subject_key=run.known.subject_key,
            steps_done=go.steps_done(run),
        )

    async def _request_approvals(self, run: Run, carried: Carried, actions: tuple[Action, ...]) -> None:
        whys = {planned.action.action_id: planned.why for planned in run.plan or ()}
        asked: dict[str, str] = {}
        for action in actions:
            asked[action.action_id] = await self._policy.request_approval(
                self._context(run, carried),
                action,
                run.decisions[action.action_id].action_digest,
                whys.get(action.action_id, ""),
                run.known.requested_by,
                self.cause(carried, "approval", action.action_id),
            )
        await self.append(carried, wants.AwaitApprovals(asked, self._clock()), "await")

    async def _await_answers(self, run: Run, carried: Carried, approval_ids: tuple[str, ...]) -> None:
        await self._settling.settle(carried, idle(run))
        await self._booking.wait(run, carried, approval_ids)
        for approval_id in approval_ids:
            while True:
                carried.nudge.clear()
                answer = await self._policy.approval(approval_id, self.cause(carried, "answer", approval_id))
                if answer.state != "PENDING":
                    break
                left = (answer.expires_at - self._clock()).total_seconds() if answer.expires_at else 60.0
                await _nudged(carried.nudge, min(max(left, 0.05), 60.0))
        token = await self._booking.take(run, carried, "resume")
        await self.append(
            carried, wants.EnterPhase(Phase.EXECUTE, token, self._clock()), "resume", str(token)
        )

    async def _preview(self, run: Run, carried: Carried, actions: tuple[Action, ...]) -> None:
        effects = await self._actuators.preview(actions, self.cause(carried, "preview"))
        named = tuple(
            replace(effect, effect_id=go.effect_id(run, action.action_id), action_id=action.action_id)
            for effect, action in zip(effects, actions, strict=True)
        )
        await self._conclude(run, carried, wants.ObserveEffects(named, self._clock()), "preview")

    async def _perform(self, run: Run, carried: Carried, effect_id: str, action: Action) -> None:
        decision = await self._permit(run, carried, action)
        if not decision.permit:
            await self.append(
                carried, wants.RecordDecisions((decision,), self._clock()), "denied", decision.decision_id
            )
            return
        await self.append(
            carried, wants.IntendEffect(effect_id, action.action_id, self._clock()), "intend", effect_id
        )
        journal_key = await self._privacy.journal_key(carried.tenant, run.known.subject_key, effect_id)
        performing = self._actuators.perform(
            effect_id, action, decision.permit, journal_key, self.cause(carried, "perform", effect_id)
        )
        effect = await self._booking.during(run, carried, f"effect {effect_id}", performing)
        effect = replace(effect, effect_id=effect_id, action_id=action.action_id)
        await self.append(carried, wants.ObserveEffects((effect,), self._clock()), "outcome", effect_id)
        if effect.state is not EffectState.SUCCEEDED:
            raise Refused(effect.error_type or "ACTUATOR_FAILED", effect.error_message or effect.summary)

    async def _permit(self, run: Run, carried: Carried, action: Action) -> Decision:
        """A permit that is still good: the one policy gave with its decision, or a new one for the same action."""
        kept = carried.permits.pop(action.action_id, None)
        if kept is not None and kept.permit_expire_time is not None:
            left = (kept.permit_expire_time - self._clock()).total_seconds()
            if left > self._limits.permit_margin_seconds:
                return kept
        before = run.decisions[action.action_id].reservation_id
        await self._settling.settle(carried, (Settlement(before, spent=False),) if before else ())
        approval_id = run.approval_ids.get(action.action_id)
        carried.tries += 1
        (decision,) = await self._decided(
            run, carried, (action,), {action.action_id: approval_id} if approval_id else {}
        )
        if decision.reservation_id:
            # What is set aside now must be settled, whoever carries the run on.
            command = wants.RecordDecisions((decision,), self._clock())
            await self.append(carried, command, "renewed", decision.decision_id, str(carried.tries))
        return decision

    async def settle(self, run: Run, carried: Carried) -> None:
        """Tell the budgets what came of what was set aside for the run."""
        await self._settling.settle(carried, settlements(run))

    async def _verify(self, run: Run, carried: Carried) -> None:
        await self.settle(run, carried)
        wanted = required_artifacts(run)
        names: frozenset[str] = frozenset()
        if wanted:
            names = await self._state.artifact_names(run.known.task_id, self.cause(carried, "artifacts"))
            missing = [name for name in wanted if name not in names]
            if missing:
                raise RequiredArtifactMissing(", ".join(missing))
        result = wants.RecordVerification(checks_of(run, names), self._clock())
        await self._conclude(run, carried, result, "verify")

    async def _package(self, run: Run, carried: Carried) -> None:
        key_id = run.known.subject_key
        sha256 = await self._state.put_artifact(
            await self._privacy.seal_bytes(carried.tenant, key_id, report_of(run)),
            "report.json",
            "application/json",
            run.known.task_id,
            carried.run_id,
            self.cause(carried, "report"),
        )
        await self._conclude(run, carried, wants.RecordPackage(sha256, self._clock()), "package")

    async def _exit(self, run: Run, carried: Carried) -> None:
        entry: phases.Entry | None = None
        if run.phase is not Phase.EXIT:
            await self._booking.advance(run, carried, Phase.EXIT, run.fencing_token)
            if breach(carried.counts, run.budget) is not None:
                return  # the conductor looks at the budget next, and the run does not end well
            entry = phases.Entry(Phase.EXIT, run.fencing_token)
        await self._booking.let_go(run, carried)
        outcome, well = outcome_of(run), compliant(run)
        done = wants.EndRun(RunState.COMPLETED, "COMPLETED", outcome, well, self._clock(), entry)
        await self.append(carried, done, "end")

    async def count(
        self, run: Run, carried: Carried, error_type: str, message: str, violation: bool, key: str
    ) -> None:
        """Count an error against the agent's budget, before anything else is done."""
        carried.counts, sequence = await self._state.record_error(
            run.agent_id,
            run.known.task_id,
            carried.run_id,
            error_type,
            await self._privacy.seal_text(carried.tenant, run.known.subject_key, message[:1000]),
            violation,
            self.cause(carried, "error", key),
        )
        # What policy allowed before it knew of this is asked again, of a policy that knows: budgets may limit errors.
        carried.known_sequence = max(carried.known_sequence, sequence)
        carried.permits.clear()


async def _nudged(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
