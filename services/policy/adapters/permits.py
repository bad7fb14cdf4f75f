"""Permits, signed: those that are asked for in the same turn of the loop go under one signature.

Decisions that were committed together are answered together, so that they meet here.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import lru_cache

from chassis.signing import SigningKey
from services.policy.ports.signing import Permit

ISSUER = "provost/policy"
PERMITS = "actuator"


class PermitPress:
    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._waiting: list[tuple[Sequence[Permit], asyncio.Future[Sequence[str]]]] = []

    async def sign(self, permits: Sequence[Permit]) -> Sequence[str]:
        """A token for each, in order."""
        loop = asyncio.get_running_loop()
        signed: asyncio.Future[Sequence[str]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._press)
        self._waiting.append((permits, signed))
        return await signed

    def _press(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            tokens = self._key.sign_together([_payload(each) for permits, _ in waiting for each in permits])
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            for _, signed in waiting:
                if not signed.done():
                    signed.set_exception(error)
            return
        at = 0
        for permits, signed in waiting:
            if not signed.done():  # its caller may have gone
                signed.set_result(tokens[at : at + len(permits)])
            at += len(permits)


def _payload(permit: Permit) -> bytes:
    """Its claims as JSON; what it shares with others of its ask is written once."""
    issued, expires = int(permit.issue_time.timestamp()), int(permit.expire_time.timestamp())
    shared = _shared(
        permit.agent_id, permit.tenant, permit.run_id, permit.task_id, permit.fencing_token, issued, expires
    )
    decision_id, digest = json.dumps(permit.decision_id), json.dumps(permit.action_digest)
    return f'{shared},"jti":{decision_id},"decision_id":{decision_id},"action_digest":{digest}}}'.encode()


@lru_cache(maxsize=256)
def _shared(
    agent_id: str, tenant: str, run_id: str, task_id: str, fencing_token: int, issued: int, expires: int
) -> str:
    claims = {
        "iss": ISSUER, "aud": PERMITS, "sub": agent_id, "iat": issued, "nbf": issued, "exp": expires,
        "agent_id": agent_id, "tenant": tenant, "run_id": run_id, "task_id": task_id, "fencing_token": fencing_token,
    }  # fmt: skip
    return json.dumps(claims)[:-1]
