"""The orchestrator over gRPC: unwrap, ask, wrap."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from chassis import metrics, process
from chassis.rpc.cause import ALL_ROLES, Context, admitted, cause_of
from chassis.rpc.faults import PeerFailed
from kernel.events import Cause
from kernel.faults import Denied, Fault, Invalid, Refused, Unauthenticated, Unavailable
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceServicer
from provost.policy.v1 import policy_pb2
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Mode, Strategy
from services.orchestrator.handlers import AttachedCrew, Orchestrator, Seat
from services.orchestrator.ports.policy import Session, Sessions
from services.orchestrator.ports.state import StateDoor
from services.orchestrator.wire import PACKET, PROPOSAL, TASK, run_to_wire

HEARTBEAT_SECONDS = 10
SILENT_SECONDS = 3.5 * HEARTBEAT_SECONDS
"""Who has said nothing for so long does not count as attached: its process hangs, though its stream is open."""
HELLO_SECONDS = 10.0
"""How long a stream may take to say whose it is."""
MESSAGES_A_SECOND, MESSAGES_AT_ONCE = 10.0, 100.0
"""What is read of one seat: an agent that says more waits, for nothing of it is read meanwhile."""
READERS = ALL_ROLES
STARTERS = frozenset({"operator", "admin", "service"})


class OrchestratorServicer(OrchestratorServiceServicer):
    """Starts and shows runs, and seats agents."""

    def __init__(
        self, orchestrator: Orchestrator, crew: AttachedCrew, sessions: Sessions, state: StateDoor
    ) -> None:
        self._orchestrator = orchestrator
        self._crew = crew
        self._sessions = sessions
        self._state = state

        def attached(built_in: bool) -> int:
            return crew.heard_since(process.monotonic() - SILENT_SECONDS, built_in)

        for kind, built_in in (("built_in", True), ("own", False)):
            text = "Agents that are attached here and were heard lately."
            metrics.show("provost_agents_attached", text, partial(attached, built_in), kind=kind)

    async def ProcessLog(self, request: pb.ProcessLogRequest, context: Context) -> pb.ProcessLogResponse:
        admitted(context, STARTERS)
        view = await self._orchestrator.process_log(
            request.log,
            _mode(request.mode),
            _strategy(request.strategy),
            request.include_trace,
            request.agent_id,
            tuple(request.forbidden),
            request.subject,
            cause_of(context, request.request_id),
        )
        return pb.ProcessLogResponse(run=run_to_wire(view.run, view.sequence, view.answered))

    async def StartRun(self, request: pb.StartRunRequest, context: Context) -> pb.StartRunResponse:
        admitted(context, STARTERS)
        packet = PACKET.to_record(request.packet) if request.HasField("packet") else None
        view = await self._orchestrator.start_run(
            request.agent_id,
            request.task_id,
            request.objective,
            _mode(request.mode),
            packet,
            request.subject,
            cause_of(context, request.request_id),
        )
        return pb.StartRunResponse(run=run_to_wire(view.run, view.sequence, view.answered))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        tenant = admitted(context, READERS).tenant
        view = await self._orchestrator.get_run(
            tenant, request.run_id, request.wait_seconds, request.at_least_sequence
        )
        return pb.GetRunResponse(run=run_to_wire(view.run, view.sequence, view.answered))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        tenant = admitted(context, READERS).tenant
        views, token = await self._orchestrator.list_runs(
            tenant, _state(request.state), request.page_token, request.page_size
        )
        return pb.ListRunsResponse(
            runs=[run_to_wire(v.run, v.sequence, v.answered) for v in views], next_page_token=token
        )

    async def AttachAgent(
        self, requests: AsyncIterator[pb.AttachAgentRequest], context: Context
    ) -> AsyncIterator[pb.AttachAgentResponse]:
        cause = cause_of(context)  # no role is asked for: the session token says which agent it is
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await anext(aiter(requests), None)
        except TimeoutError:
            raise Unavailable("DEADLINE_EXCEEDED", f"no hello within {HELLO_SECONDS:g} s") from None
        if first is None or first.WhichOneof("message") != "hello":
            raise Invalid("FIELD_MISSING", "the first message of an agent is `hello`", field="hello")
        session = await self._welcome(first.hello.session_token, cause)
        agent_id = session.agent_id
        seat = self._crew.attach(cause.tenant, agent_id, first.hello.session_token)
        _renew(seat, first.hello.session_token, session)
        seat.heard_at = process.monotonic()
        reader = asyncio.create_task(self._read(requests, seat, cause))
        try:
            await self._state.heartbeat(agent_id, cause)
            welcome = pb.AttachAgentResponse.Welcome(agent_id=agent_id, heartbeat_seconds=HEARTBEAT_SECONDS)
            yield pb.AttachAgentResponse(welcome=welcome)
            async for task in seat.tasks():
                yield pb.AttachAgentResponse(task=TASK.to_message(task))
            if seat.left is not None:
                raise seat.left
        finally:
            reader.cancel()
            self._crew.detach(seat, Unavailable("PEER_UNREACHABLE", f"agent {agent_id} has gone"))

    async def _welcome(self, token: str, cause: Cause) -> Session:
        session = await self._sessions.session_of(token, cause)
        if session.tenant != cause.tenant:
            raise Denied("TENANT_MISMATCH", "this session belongs to another tenant")
        if self._crew.expelled(session.tenant, session.agent_id):
            raise Denied("AGENT_REVOKED", f"agent {session.agent_id} was revoked", agent_id=session.agent_id)
        return session

    async def _read(self, requests: AsyncIterator[pb.AttachAgentRequest], seat: Seat, cause: Cause) -> None:
        """What an attached agent says, until it says no more."""
        left, at = MESSAGES_AT_ONCE, process.monotonic()
        try:
            async for request in requests:
                if seat.left is not None:
                    return  # nothing of it counts any more
                await self._heed(request, seat, cause)
                now = process.monotonic()
                left = min(MESSAGES_AT_ONCE, left + (now - at) * MESSAGES_A_SECOND) - 1
                at = now
                if left < 0:
                    await asyncio.sleep(-left / MESSAGES_A_SECOND)
        except Fault as fault:
            seat.leave(fault)
        finally:
            # Whatever ended it: nobody sits where nothing is heard any more.
            seat.leave(Unavailable("PEER_UNREACHABLE", f"agent {seat.agent_id} has gone"))

    async def _heed(self, request: pb.AttachAgentRequest, seat: Seat, cause: Cause) -> None:
        seat.heard_at = process.monotonic()
        match request.WhichOneof("message"):
            case "hello":
                session = await self._welcome(request.hello.session_token, cause)
                if session.agent_id != seat.agent_id:
                    raise Unauthenticated("TOKEN_INVALID", "a stream belongs to one agent")
                _renew(seat, request.hello.session_token, session)
            case "proposal":
                try:
                    seat.propose(PROPOSAL.to_record(request.proposal))
                except Invalid as problem:
                    seat.fail(request.proposal.run_id, Refused("PROPOSAL_INVALID", problem.text))
            case "failure":
                text = f"{request.failure.error_type}: {request.failure.message}"[:1000]
                seat.fail(request.failure.run_id, Refused("AGENT_FAILED", text))
            case "beat":
                await self._beat(seat, cause)
            case None:
                raise Invalid(
                    "MALFORMED_MESSAGE", "an agent says hello, proposal, failure or beat", field="message"
                )

    async def _beat(self, seat: Seat, cause: Cause) -> None:
        try:
            await self._state.heartbeat(seat.agent_id, cause)
        except (Unavailable, PeerFailed):
            return  # the next one comes soon; a missing heartbeat shows by itself


def _renew(seat: Seat, token: str, session: Session) -> None:
    seat.renew(token, (session.expire_time - process.now()).total_seconds())


def _mode(number: int) -> Mode:
    if not number:
        return Mode.SAFE
    try:
        return Mode(policy_pb2.Mode.Name(number).removeprefix("MODE_"))  # type: ignore[arg-type]
    except ValueError:
        raise Invalid("MODE_UNKNOWN", "mode must be SAFE, ASSISTED or AUTO", field="mode") from None


def _state(number: int) -> RunState | None:
    if not number:
        return None
    try:
        return RunState(pb.RunState.Name(number).removeprefix("RUN_STATE_"))  # type: ignore[arg-type]
    except ValueError:
        raise Invalid("FIELD_INVALID", "there is no such state of a run", field="state") from None


def _strategy(number: int) -> Strategy:
    if not number:
        return Strategy.REFLECTIVE
    try:
        return Strategy(pb.Strategy.Name(number).removeprefix("STRATEGY_"))  # type: ignore[arg-type]
    except ValueError:
        raise Invalid("FIELD_INVALID", "strategy must be CLASSIC or REFLECTIVE", field="strategy") from None
