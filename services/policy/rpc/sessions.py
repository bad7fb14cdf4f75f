"""Secrets and sessions: how an agent shows who it is."""

from chassis.rpc.cause import Context, cause_of
from chassis.telemetry import get_logger
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.domain.faults import CredentialsRefused, WrappingTokenInvalid
from services.policy.handlers import Policy
from services.policy.rpc.callers import admitted
from services.policy.wire.texts import stamp
from services.policy.wire.tiers import TIERS

_log = get_logger("policy.rpc")


class SessionsRpc(PolicyServiceServicer):
    """Credentials for a session, and the keys that verify it."""

    _policy: Policy

    async def CreateSecret(
        self, request: pb.CreateSecretRequest, context: Context
    ) -> pb.CreateSecretResponse:
        admitted(context, "CreateSecret")
        sessions, cause = self._policy.sessions, cause_of(context, request.request_id)
        if request.wrap_seconds:
            wrapped = await sessions.wrap_secret(request.agent_id, request.wrap_seconds, cause)
            return pb.CreateSecretResponse(
                role_id=wrapped.role_id,
                sequence=wrapped.sequence,
                wrapping_token=wrapped.token,
                wrapping_expire_time=stamp(wrapped.expire_time),
            )
        made = await sessions.create_secret(request.agent_id, cause)
        return pb.CreateSecretResponse(role_id=made.role_id, secret_id=made.secret_id, sequence=made.sequence)

    async def UnwrapSecret(
        self, request: pb.UnwrapSecretRequest, context: Context
    ) -> pb.UnwrapSecretResponse:
        caller = admitted(context, "UnwrapSecret")
        cause = cause_of(context, request.request_id)
        try:
            made = await self._policy.sessions.unwrap_secret(request.wrapping_token, cause)
        except WrappingTokenInvalid:
            # Said in the log because it may have been used by somebody else before.
            _log.warning("unwrapping refused", reason="WRAPPING_TOKEN_INVALID", actor=caller.actor)
            raise
        return pb.UnwrapSecretResponse(role_id=made.role_id, secret_id=made.secret_id, sequence=made.sequence)

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        caller = admitted(context, "CreateSession")
        cause = cause_of(context, request.request_id)
        try:
            opened = await self._policy.sessions.create_session(request.role_id, request.secret_id, cause)
        except CredentialsRefused:
            # Said in the log because a row of these is somebody guessing.
            _log.warning("session refused", reason="CREDENTIALS_REFUSED", actor=caller.actor)
            raise
        return pb.CreateSessionResponse(
            session_token=opened.token,
            expire_time=stamp(opened.expire_time),
            agent_id=opened.agent_id,
            tier=TIERS[opened.tier],
            sequence=opened.sequence,
        )

    async def ListSigningKeys(
        self, _request: pb.ListSigningKeysRequest, context: Context
    ) -> pb.ListSigningKeysResponse:
        admitted(context, "ListSigningKeys")
        keys = (pb.SigningKey(key_id=kid, public_key=raw) for kid, raw in self._policy.signer.public_keys())
        return pb.ListSigningKeysResponse(keys=keys)
