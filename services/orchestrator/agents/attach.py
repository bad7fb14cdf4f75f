"""One built-in agent at work: logs in, attaches to the orchestrator, thinks about what it is given.

It goes through the same doors as any agent in any language: a session from policy, a stream to the orchestrator.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
import structlog

from chassis import process
from chassis.rpc.cause import metadata_of
from chassis.rpc.client import call
from chassis.rpc.faults import PeerFailed
from kernel.events import Cause
from kernel.faults import Fault
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost.policy.v1 import policy_pb2

log = structlog.get_logger(__name__)

Think = Callable[[pb.Task], pb.Proposal]
VERSION = "heuristic-1"
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_FRESH_SHARE = 0.8
_LOOK_SECONDS = 0.5
_THOUGHT_AT_ONCE = 64 * 1024  # bytes of a log: milliseconds, and a thread would cost some of its own


@dataclass(frozen=True, slots=True)
class _Login:
    token: str
    renew_at: datetime


class BuiltInAgent:
    """Attached for as long as it runs; attaches again whenever the stream ends, unless it was revoked."""

    def __init__(self, agent_id: str, tenant: str, policy: Any, orchestrator: Any, think: Think) -> None:
        self._agent_id = agent_id
        self._tenant = tenant
        self._policy = policy
        self._orchestrator = orchestrator
        self._think = think
        self.attached = False

    async def work(self) -> None:
        """Until cancelled, or revoked."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                await self._attached(await self._log_in())
                pause = _PAUSE_SECONDS
            except Fault as fault:
                if fault.reason in ("AGENT_REVOKED", "AGENT_ALREADY_REVOKED"):
                    log.warning("agent is revoked and stays away", agent=self._agent_id)
                    return
                log.info("agent waits to attach", agent=self._agent_id, reason=fault.reason, why=fault.text)
            except grpc.aio.AioRpcError as error:
                log.info("agent's stream ended", agent=self._agent_id, code=error.code().name)
            except PeerFailed as failed:
                log.warning("agent waits to attach", agent=self._agent_id, why=str(failed))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _cause(self) -> Cause:
        return Cause(self._tenant, process.new_id(), "service:agents", process.now())

    async def _log_in(self) -> _Login:
        """Register (once and for all), take a new secret, trade it for a session."""
        cause = self._cause()
        await call(
            self._policy.RegisterAgent,
            policy_pb2.RegisterAgentRequest(
                request_id=cause.request_id,
                agent_id=self._agent_id,
                tier=policy_pb2.TIER_T1_OPERATOR,
                agent_version=VERSION,
            ),
            cause,
        )
        secret = await call(
            self._policy.CreateSecret,
            policy_pb2.CreateSecretRequest(request_id=process.new_id(), agent_id=self._agent_id),
            cause,
        )
        session = await call(
            self._policy.CreateSession,
            policy_pb2.CreateSessionRequest(
                request_id=process.new_id(), role_id=secret.role_id, secret_id=secret.secret_id
            ),
            cause,
        )
        now = process.now()
        ends = session.expire_time.ToDatetime(tzinfo=now.tzinfo)
        return _Login(session.session_token, now + (ends - now) * _FRESH_SHARE)

    async def _attached(self, login: _Login) -> None:
        outbox: asyncio.Queue[pb.AttachAgentRequest] = asyncio.Queue()
        outbox.put_nowait(_hello(login))
        stream = self._orchestrator.AttachAgent(metadata=metadata_of(self._cause()))
        saying = asyncio.create_task(_say(outbox, stream))
        thinking: set[asyncio.Task[None]] = set()
        beating: asyncio.Task[None] | None = None
        try:
            async for message in stream:
                match message.WhichOneof("message"):
                    case "welcome":
                        self.attached = True
                        log.info("agent attached", agent=self._agent_id)
                        beating = asyncio.create_task(
                            self._beat(outbox, login, message.welcome.heartbeat_seconds)
                        )
                    case "task":
                        task = asyncio.create_task(self._answer(message.task, outbox))
                        thinking.add(task)
                        task.add_done_callback(thinking.discard)
                    case unknown:
                        log.warning("message not understood", agent=self._agent_id, kind=str(unknown))
        finally:
            self.attached = False
            stream.cancel()
            ending = [saying, *thinking, *([beating] if beating else [])]
            for each in ending:
                each.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _beat(self, outbox: asyncio.Queue[pb.AttachAgentRequest], login: _Login, seconds: int) -> None:
        """Say that it lives, and renew the session before it ends."""
        while True:
            await asyncio.sleep(max(1, seconds))
            if process.now() >= login.renew_at:
                try:
                    login = await self._log_in()
                    outbox.put_nowait(_hello(login))
                except (Fault, PeerFailed) as problem:
                    log.warning("session not renewed yet", agent=self._agent_id, why=str(problem))
            outbox.put_nowait(pb.AttachAgentRequest(beat=pb.AttachAgentRequest.Beat()))

    async def _answer(self, task: pb.Task, outbox: asyncio.Queue[pb.AttachAgentRequest]) -> None:
        """Think off the loop, so that heartbeats go on; a failure is said, not swallowed."""
        try:
            if len(task.log) <= _THOUGHT_AT_ONCE:
                proposal = self._think(task)
            else:
                proposal = await asyncio.to_thread(self._think, task)
            outbox.put_nowait(pb.AttachAgentRequest(proposal=proposal))
        except Exception as error:
            log.exception("analysis failed", agent=self._agent_id, run=task.run_id)
            failure = pb.AttachAgentRequest.Failure(
                run_id=task.run_id,
                error_type=type(error).__name__,
                message="the analysis failed; see the agents' log",
            )
            outbox.put_nowait(pb.AttachAgentRequest(failure=failure))


async def keep_health(agents: Sequence[BuiltInAgent], set_serving: Callable[[bool], Awaitable[None]]) -> None:
    """Until cancelled: say whether anybody is attached."""
    while True:
        await set_serving(any(agent.attached for agent in agents))
        await asyncio.sleep(_LOOK_SECONDS)


def _hello(login: _Login) -> pb.AttachAgentRequest:
    return pb.AttachAgentRequest(
        hello=pb.AttachAgentRequest.Hello(session_token=login.token, agent_version=VERSION)
    )


async def _say(outbox: asyncio.Queue[pb.AttachAgentRequest], stream: Any) -> None:
    """What is in the outbox goes out, until the stream has ended; why it did is for the reader to see."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while True:
            await stream.write(await outbox.get())
