"""Runs of a double: over as soon as they begin, or waiting for a person."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import grpc

from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost.orchestrator.v1 import orchestrator_pb2_grpc
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from provost_sdk.models import run_as_dict
from provost_sdk.testing.agents import Agents
from provost_sdk.testing.door import Caller, Context, admitted, refuse
from provost_sdk.testing.tables import Finding, Rule, decided, found_in
from provost_sdk.testing.world import World

_BUILT_IN = "double-1"
_Asked: TypeAlias = pb.ProcessLogRequest | pb.StartRunRequest


class Runs:
    """Every run, approval and report there is, by tenant and id."""

    def __init__(
        self, world: World, rules: Sequence[Rule], findings: Sequence[Finding], agents: Agents
    ) -> None:
        self._world = world
        self._rules = rules
        self._findings = findings
        self._agents = agents
        self._changed = asyncio.Event()
        self.runs: dict[tuple[str, str], pb.Run] = {}
        self._asked: dict[tuple[str, str], _Asked] = {}
        self.approvals: dict[tuple[str, str], policy_pb2.Approval] = {}
        self.reports: dict[tuple[str, str], state_pb2.GetArtifactResponse] = {}

    async def begin(
        self, caller: Caller, run: pb.Run, text: str, request: _Asked, context: Context
    ) -> pb.Run:
        """Carry a new run as far as it goes; or the caller's own run of an earlier request, the same under this id."""
        asked = f"{caller.tenant}:{caller.name}:{request.request_id}" if request.request_id else ""
        run.run_id = self._world.id_of("run", asked)
        known = self.runs.get((caller.tenant, run.run_id))
        if self._asked.setdefault((caller.tenant, run.run_id), request) != request:
            why = "request_id was used before for something else: give every request an id of its own"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", why)
        if known is not None:
            return known
        run.task_id = run.task_id or f"log-{run.run_id[:16]}"
        run.mode = run.mode or policy_pb2.MODE_SAFE
        run.requested_by = caller.name
        run.start_time.CopyFrom(self._world.now)
        self.runs[caller.tenant, run.run_id] = run
        if run.agent_id in self._agents.revoked:
            run.state, run.reason = pb.RUN_STATE_REFUSED, "AGENT_PREVIOUSLY_REVOKED"
            return run
        run.agent_id = run.agent_id or _BUILT_IN
        run.reason = "BOOTSTRAP_COMPLETE"
        if not await self._planned(run, text):
            return run
        for planned in run.plan:
            number = self._world.id_of("decision", f"{run.run_id}:{planned.action.action_id}")
            run.decisions.append(decided(self._rules, planned.action, run.mode, number))
        waiting = [
            planned.action
            for planned, decision in zip(run.plan, run.decisions, strict=True)
            if decision.verdict == policy_pb2.VERDICT_NEEDS_APPROVAL
        ]
        for action in waiting:
            self._ask(caller, run, action)
        if waiting:
            run.state, run.phase = pb.RUN_STATE_WAITING, pb.PHASE_EXECUTE
        else:
            self._end(caller.tenant, run)
        return run

    def answered(self, tenant: str, run_id: str) -> None:
        """An approval of this run was answered: once all are, it goes on."""
        run = self.runs[tenant, run_id]
        asked = [
            each for (owner, _), each in self.approvals.items() if (owner, each.run_id) == (tenant, run_id)
        ]
        if any(each.state == policy_pb2.APPROVAL_STATE_PENDING for each in asked):
            return
        del run.waiting_for[:]
        for each in asked:
            yes = each.state == policy_pb2.APPROVAL_STATE_APPROVED
            decision = next(d for d in run.decisions if d.action_id == each.action.action_id)
            decision.verdict = policy_pb2.VERDICT_ALLOW if yes else policy_pb2.VERDICT_DENY
            decision.reason = "ALLOWED_BY_APPROVAL" if yes else "APPROVAL_REJECTED"
        self._end(tenant, run)

    async def rested(self, run: pb.Run, seconds: float) -> None:
        """Wait until a run has ended, so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while run.state in (pb.RUN_STATE_RUNNING, pb.RUN_STATE_UNSPECIFIED):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    async def _planned(self, run: pb.Run, text: str) -> bool:
        if not self._agents.here(run.agent_id):
            incident, plan = found_in(self._findings, text)
            run.incident.CopyFrom(incident)
            run.plan.extend(plan)
            return True
        run.state, run.phase = pb.RUN_STATE_RUNNING, pb.PHASE_PLAN
        packet = state_pb2.Packet(
            agent_id=run.agent_id, task_id=run.task_id, objective=run.objective, version=1
        )
        task = pb.Task(
            run_id=run.run_id, packet=packet, log=text.encode(), mode=run.mode, max_reasoning_cycles=1
        )
        answer = await self._agents.think(run.agent_id, task)
        if isinstance(answer, pb.Proposal):
            run.incident.CopyFrom(answer.incident)
            run.plan.extend(answer.plan)
            return True
        run.state, run.reason, run.outcome = pb.RUN_STATE_FAILED, "AGENT_FAILED", answer.message
        self._changed.set()
        return False

    def _ask(self, caller: Caller, run: pb.Run, action: policy_pb2.Action) -> None:
        made = policy_pb2.Approval(
            approval_id=self._world.id_of("approval", f"{run.run_id}:{action.action_id}"),
            state=policy_pb2.APPROVAL_STATE_PENDING,
            action=action,
            run_id=run.run_id,
            task_id=run.task_id,
            agent_id=run.agent_id,
            requested_by=caller.name,
            request_time=self._world.now,
            needed=1,
        )
        self.approvals[caller.tenant, made.approval_id] = made
        run.waiting_for.append(made.approval_id)

    def _end(self, tenant: str, run: pb.Run) -> None:
        acted = run.mode != policy_pb2.MODE_SAFE
        for decision in run.decisions:
            if decision.verdict == policy_pb2.VERDICT_ALLOW:
                run.effects.add(
                    effect_id=self._world.id_of("effect", f"{run.run_id}:{decision.action_id}"),
                    action_id=decision.action_id,
                    state=pb.EFFECT_STATE_SUCCEEDED if acted else pb.EFFECT_STATE_PREVIEWED,
                )
        run.state, run.phase, run.reason = pb.RUN_STATE_COMPLETED, pb.PHASE_EXIT, "COMPLETED"
        run.outcome = f"{len(run.plan)} planned, {len(run.effects) if acted else 0} done"
        run.end_time.CopyFrom(self._world.now)
        report: dict[str, Any] = {"run": {"run_id": run.run_id}, "decisions": run_as_dict(run)["decisions"]}
        content = json.dumps(report, sort_keys=True).encode()
        run.report_sha256 = hashlib.sha256(content).hexdigest()
        kept = state_pb2.GetArtifactResponse(content=content)
        kept.artifact.name, kept.artifact.media_type = "report.json", "application/json"
        kept.artifact.sha256, kept.artifact.run_id = run.report_sha256, run.run_id
        self.reports[tenant, run.report_sha256] = kept
        self._changed.set()


class OrchestratorDouble(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """Unwrap, ask, wrap."""

    def __init__(self, world: World, runs: Runs, agents: Agents) -> None:
        self._world = world
        self._runs = runs
        self._agents = agents

    async def ProcessLog(self, request: pb.ProcessLogRequest, context: Context) -> pb.ProcessLogResponse:
        caller = await admitted(context, self._world.callers, "operator")
        await _known_mode(request.mode, context)
        if not request.log:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "LOG_EMPTY", "the log is empty")
        run = pb.Run(
            agent_id=request.agent_id,
            mode=request.mode,
            strategy=request.strategy or pb.STRATEGY_REFLECTIVE,
            include_trace=request.include_trace,
            objective="find what is wrong in this log and plan a remedy",
        )
        text = request.log.decode("utf-8", "replace")
        return pb.ProcessLogResponse(run=await self._runs.begin(caller, run, text, request, context))

    async def StartRun(self, request: pb.StartRunRequest, context: Context) -> pb.StartRunResponse:
        caller = await admitted(context, self._world.callers, "operator")
        await _known_mode(request.mode, context)
        run = pb.Run(
            agent_id=request.agent_id,
            task_id=request.task_id,
            mode=request.mode,
            objective=request.objective,
        )
        return pb.StartRunResponse(
            run=await self._runs.begin(caller, run, request.objective, request, context)
        )

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        caller = await admitted(context, self._world.callers, "viewer")
        run = self._runs.runs.get((caller.tenant, request.run_id))
        if run is None:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "RUN_UNKNOWN", "there is no such run")
        await self._runs.rested(run, request.wait_seconds)
        return pb.GetRunResponse(run=run)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        caller = await admitted(context, self._world.callers, "viewer")
        theirs = [run for (tenant, _), run in self._runs.runs.items() if tenant == caller.tenant]
        return pb.ListRunsResponse(runs=[run for run in reversed(theirs) if request.state in (0, run.state)])

    async def AttachAgent(
        self, requests: AsyncIterator[pb.AttachAgentRequest], context: Context
    ) -> AsyncIterator[pb.AttachAgentResponse]:
        first = await anext(aiter(requests), pb.AttachAgentRequest())
        agent_id = first.hello.session_token.removeprefix("session-of-")
        if not agent_id or agent_id == first.hello.session_token:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", "it is not a token")
        if agent_id not in self._agents.revoked:
            tasks = self._agents.seat(agent_id)
            reading = asyncio.create_task(self._read(requests, agent_id))
            try:
                yield pb.AttachAgentResponse(
                    welcome=pb.AttachAgentResponse.Welcome(agent_id=agent_id, heartbeat_seconds=1)
                )
                while (task := await tasks.get()) is not None:
                    yield pb.AttachAgentResponse(task=task)
            finally:
                reading.cancel()
        if agent_id in self._agents.revoked:
            await refuse(
                context, grpc.StatusCode.UNAVAILABLE, "AGENT_REVOKED", f"agent {agent_id} was revoked"
            )

    async def _read(self, requests: AsyncIterator[pb.AttachAgentRequest], agent_id: str) -> None:
        try:
            async for said in requests:
                self._agents.heard(agent_id, said)
        finally:
            self._agents.leave(agent_id)


async def _known_mode(mode: int, context: Context) -> None:
    if mode not in policy_pb2.Mode.values():
        await refuse(
            context, grpc.StatusCode.INVALID_ARGUMENT, "MODE_UNKNOWN", "mode must be SAFE, ASSISTED or AUTO"
        )
