"""Permits, signed: those that are asked for in the same turn of the loop go under one signature.

Decisions that were committed together are answered together, so that they meet here.
"""

import asyncio
import json
from collections.abc import Sequence

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
            tokens = self._key.sign_together(_payloads([each for permits, _ in waiting for each in permits]))
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


def _payloads(permits: Sequence[Permit]) -> list[bytes]:
    """The claims of each as JSON; what it shares with the one before it, as those of one ask do, is written once."""
    made: list[bytes] = []
    last, shared = permits[0], _shared(permits[0])
    for each in permits:
        if not _alike(each, last):
            last, shared = each, _shared(each)
        decision_id, digest = _json(each.decision_id), _json(each.action_digest)
        made.append(
            f'{shared},"jti":{decision_id},"decision_id":{decision_id},"action_digest":{digest}}}'.encode()
        )
    return made


def _alike(one: Permit, other: Permit) -> bool:
    return (
        one.issue_time == other.issue_time
        and one.expire_time == other.expire_time
        and one.run_id == other.run_id
        and one.task_id == other.task_id
        and one.agent_id == other.agent_id
        and one.tenant == other.tenant
        and one.fencing_token == other.fencing_token
    )


def _shared(permit: Permit) -> str:
    issued, expires = int(permit.issue_time.timestamp()), int(permit.expire_time.timestamp())
    claims = {
        "iss": ISSUER, "aud": PERMITS, "sub": permit.agent_id, "iat": issued, "nbf": issued, "exp": expires,
        "agent_id": permit.agent_id, "tenant": permit.tenant, "run_id": permit.run_id, "task_id": permit.task_id,
        "fencing_token": permit.fencing_token,
    }  # fmt: skip
    return json.dumps(claims)[:-1]


_json = json.encoder.encode_basestring_ascii
