"""Policy decides on each action of a plan, people on those that policy leaves to them."""

import asyncio
from datetime import timedelta

from kernel.faults import Unauthenticated, Unavailable
from services.orchestrator.domain import lifecycle as go
from services.orchestrator.domain import wants
from services.orchestrator.domain.budget import violates
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.records import Action, Decision
from services.orchestrator.domain.run import Run
from services.orchestrator.domain.settling import Settlement, idle
from services.orchestrator.handlers.booking import Booking
from services.orchestrator.handlers.carrying import Carried, StepLimits
from services.orchestrator.handlers.recording import Recording
from services.orchestrator.handlers.settling import Settling
from services.orchestrator.ports import Clock
from services.orchestrator.ports.crew import Crew
from services.orchestrator.ports.policy import PolicyDoor, RunContext


class Authorizing:
    def __init__(
        self,
        policy: PolicyDoor,
        crew: Crew,
        booking: Booking,
        settling: Settling,
        recording: Recording,
        clock: Clock,
        limits: StepLimits,
    ) -> None:
        self._policy = policy
        self._crew = crew
        self._booking = booking
        self._settling = settling
        self._recording = recording
        self._clock = clock
        self._margin = timedelta(seconds=limits.permit_margin_seconds)

    async def authorize(
        self, run: Run, carried: Carried, actions: tuple[Action, ...], approval_ids: dict[str, str]
    ) -> None:
        """Ask policy, under the approvals of those actions that have one by action id, and record what it decides.

        Raises:
            Unavailable: the agent is not attached, or its session is over; once it is back, ask again.
        """
        permits = carried.permits
        decisions = await self._decided(run, carried, actions, approval_ids)
        result = wants.RecordDecisions(decisions, self._clock())
        step = ("decisions", ",".join(sorted(approval_ids.values())))
        if any(violates(decision) for decision in decisions):
            await self._recording.append(carried, result, *step)  # it counts before anything else is done
            return
        await self._recording.conclude(run, carried, result, *step)
        permits.update({d.action_id: d for d in decisions if d.permit})

    async def request_approvals(self, run: Run, carried: Carried, actions: tuple[Action, ...]) -> None:
        """Ask people about each action; from then on the run waits."""
        whys = {planned.action.action_id: planned.why for planned in run.plan or ()}
        asked: dict[str, str] = {}
        for action in actions:
            asked[action.action_id] = await self._policy.request_approval(
                self._context(run, carried),
                action,
                run.decisions[action.action_id].action_digest,
                whys.get(action.action_id, ""),
                run.known.requested_by,
                self._recording.cause(carried, "approval", action.action_id),
            )
        await self._recording.append(carried, wants.AwaitApprovals(asked, self._clock()), "await")

    async def await_answers(self, run: Run, carried: Carried, approval_ids: tuple[str, ...]) -> None:
        """Let the agent go until all are answered or over, then take it again: that may take days."""
        carried.permits = {}  # they are given under a lock that others may have meanwhile
        await self._give_back(carried, idle(run))
        await self._booking.wait(run, carried, approval_ids)
        for approval_id in approval_ids:
            while True:
                carried.nudge.clear()
                answer = await self._policy.approval(
                    approval_id, self._recording.cause(carried, "answer", approval_id)
                )
                if answer.state != "PENDING":
                    break
                left = (answer.expires_at - self._clock()).total_seconds() if answer.expires_at else 60.0
                await _nudged(carried.nudge, min(max(left, 0.05), 60.0))
        token = await self._booking.take(run, carried)
        await self._recording.append(
            carried, wants.EnterPhase(Phase.EXECUTE, token, self._clock()), "resume", str(token)
        )

    async def permit(self, run: Run, carried: Carried, action: Action) -> Decision:
        """A permit that is still good: the one policy gave with its decision, or a new one for the same action."""
        kept = carried.permits.pop(action.action_id, None)
        if kept is not None and self._good(kept):
            return kept
        # Others are asked for anew, too, when it is their turn: by then what is set aside for them could have run out.
        carried.permits = {key: each for key, each in carried.permits.items() if self._good(each)}
        await self._give_back(carried, idle(run, action.action_id))
        approval_id = run.approval_ids.get(action.action_id)
        carried.tries += 1
        (decision,) = await self._decided(
            run, carried, (action,), {action.action_id: approval_id} if approval_id else {}
        )
        if decision.reservation_id:
            # What is set aside now must be settled, whoever carries the run on.
            command = wants.RecordDecisions((decision,), self._clock())
            await self._recording.append(
                carried, command, "renewed", decision.decision_id, str(carried.tries)
            )
        return decision

    def _good(self, decision: Decision) -> bool:
        until = decision.permit_expire_time
        return until is not None and until - self._clock() > self._margin

    async def _give_back(self, carried: Carried, idle: frozenset[str]) -> None:
        """Give back what is set aside and not used, each once, unless a permit goes with it that is used yet."""
        permitted = {each.reservation_id for each in carried.permits.values()}
        back = idle - permitted - carried.given_back
        await self._settling.settle(carried, [Settlement(each, spent=False) for each in sorted(back)])
        carried.given_back |= back

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
            decisions = await self._policy.authorize(
                token,
                self._context(run, carried),
                actions,
                approval_ids,
                self._recording.cause(carried, *step),
            )
        except Unauthenticated as fault:
            # The agent renews its session by itself; that its old one ended in between is nobody's error.
            carried.tries += 1
            text = f"the session of agent {run.agent_id} is over ({fault.reason}); waiting for a fresh one"
            raise Unavailable("TOKEN_EXPIRED", text) from None
        # The same request sets the same aside again.
        carried.given_back -= {each.reservation_id for each in decisions}
        return decisions

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


async def _nudged(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
