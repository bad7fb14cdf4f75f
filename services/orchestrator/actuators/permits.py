"""Permits, verified with policy's public keys; an unknown key is asked for once more."""

from typing import Any

import grpc.aio

from chassis import process
from chassis.rpc.client import call
from chassis.signing import PublicKey, Verifier, public_key_of
from kernel.events import Cause
from kernel.faults import Unauthenticated
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.orchestrator.actuators.hands import Permit


class PolicyPermits:
    """`hands.Permits`."""

    def __init__(self, channel: grpc.aio.Channel, ask: Cause) -> None:
        self._policy: Any = PolicyServiceStub(channel)
        self._ask = ask
        self._keys: dict[str, PublicKey] = {}
        self._verifier = Verifier(self._keys)

    async def read(self, permit: str) -> Permit:
        try:
            return self._read(permit)
        except Unauthenticated as fault:
            if fault.reason == "PERMIT_EXPIRED":
                raise
        answer = await call(self._policy.ListSigningKeys, pb.ListSigningKeysRequest(), self._ask)
        self._keys.update({key.key_id: public_key_of(key.public_key) for key in answer.keys})
        return self._read(permit)

    def _read(self, permit: str) -> Permit:
        try:
            claims = self._verifier.verify(permit, "actuator", process.now())
            return Permit(
                decision_id=str(claims["decision_id"]),
                action_digest=str(claims["action_digest"]),
                tenant=str(claims["tenant"]),
                run_id=str(claims["run_id"]),
                task_id=str(claims["task_id"]),
                agent_id=str(claims["agent_id"]),
                fencing_token=int(claims["fencing_token"]),
            )
        except Unauthenticated as fault:
            reason = "PERMIT_EXPIRED" if fault.reason == "TOKEN_EXPIRED" else "PERMIT_INVALID"
            raise Unauthenticated(reason, f"the permit was refused: {fault.text}") from None
        except (KeyError, ValueError, TypeError):
            raise Unauthenticated("PERMIT_INVALID", "the permit was refused: it is no permit") from None
