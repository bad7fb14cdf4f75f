"""Locks: taken, renewed, given back, taken away, listed."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.bounds import DEFAULT_LEASE_SECONDS
from services.state.domain.lock import AcquireLock, Advance, ForceReleaseLock, ReleaseLock
from services.state.domain.snapshot import HeldLock
from services.state.handlers import Standing, State
from services.state.rpc.callers import PEOPLE, READERS, WRITERS, cause_for
from services.state.wire import ERRORS, IN_USE, LOCK


class LocksRpc(StateServiceServicer):
    """What is decided under a lock."""

    _state: State

    async def AcquireLock(self, request: pb.AcquireLockRequest, context: Context) -> pb.AcquireLockResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = AcquireLock(
            request.agent_id,
            request.task_id,
            request.holder,
            request.lease_seconds or DEFAULT_LEASE_SECONDS,
            cause.at,
        )
        standing = await self._state.locks.acquire(command, request.wait_seconds, cause)
        return pb.AcquireLockResponse(lock=lock_to_wire(standing), sequence=standing.sequence)

    async def Advance(self, request: pb.AdvanceRequest, context: Context) -> pb.AdvanceResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = Advance(
            request.agent_id,
            request.task_id,
            request.run_id,
            request.phase,
            request.step,
            request.fencing_token,
            request.lease_seconds or DEFAULT_LEASE_SECONDS,
            cause.actor,
            cause.at,
        )
        standing = await self._state.locks.advance(command, cause)
        return pb.AdvanceResponse(
            errors=ERRORS.to_message(standing.errors),
            lock_expire_time=lock_to_wire(standing).expire_time,
            sequence=standing.sequence,
        )

    async def ReleaseLock(self, request: pb.ReleaseLockRequest, context: Context) -> pb.ReleaseLockResponse:
        cause = cause_for(context, WRITERS, request.request_id)
        command = ReleaseLock(
            request.agent_id, request.task_id, request.holder, request.fencing_token, cause.actor, cause.at
        )
        standing = await self._state.locks.release(command, cause)
        return pb.ReleaseLockResponse(sequence=standing.sequence)

    async def ForceReleaseLock(
        self, request: pb.ForceReleaseLockRequest, context: Context
    ) -> pb.ForceReleaseLockResponse:
        cause = cause_for(context, PEOPLE, request.request_id)
        command = ForceReleaseLock(request.agent_id, request.reason, cause.actor, cause.at)
        appended = await self._state.locks.force(command, cause)
        return pb.ForceReleaseLockResponse(sequence=appended.sequence)

    async def ListLocks(self, request: pb.ListLocksRequest, context: Context) -> pb.ListLocksResponse:
        cause = cause_for(context, READERS)
        page = self._state.locks.list(request.task_id, request.page_size, request.page_token, cause)
        locks = [IN_USE.to_message(each) for each in page.items]
        return pb.ListLocksResponse(locks=locks, next_page_token=page.next_page_token)


def lock_to_wire(standing: Standing) -> pb.Lock:
    lock = standing.lock
    assert lock is not None, "whoever is answered with a lock has one"
    return LOCK.to_message(HeldLock(lock.holder, lock.fencing_token, lock.expire_time))
