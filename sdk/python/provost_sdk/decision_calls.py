"""What an agent that speaks for itself asks of policy: a session, and whether it may do something."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from provost.policy.v1 import policy_pb2
from provost_sdk.transport import Connection, new_request_id
from provost_sdk.words import named

if TYPE_CHECKING:
    from provost.policy.v1.policy_pb2_grpc import PolicyServiceAsyncStub


class DecisionCalls(Connection):
    """The part of the client that acts for an agent."""

    _policy: "PolicyServiceAsyncStub"

    async def open_session(
        self, role_id: str, secret_id: str, *, request_id: str = ""
    ) -> policy_pb2.CreateSessionResponse:
        """Trade an agent's role and secret for its session token. Reasons CREDENTIALS_REFUSED, AGENT_REVOKED."""
        request = policy_pb2.CreateSessionRequest(
            request_id=request_id or new_request_id(), role_id=role_id, secret_id=secret_id
        )
        return await self._call(self._policy.CreateSession, request)

    async def authorize(
        self,
        agent: str,
        action: str,
        *,
        session_token: str,
        task: str,
        run: str,
        target: str = "localhost",
        environment: str = "sandbox",
        parameters: Mapping[str, str] | None = None,
        mode: str = "auto",
        approval_id: str = "",
        request_id: str = "",
    ) -> policy_pb2.AuthorizeResponse:
        """May this agent do this? ALLOW, DENY or NEEDS_APPROVAL, on record before it is answered: no is no error.

        `session_token` is the agent's own: nobody else speaks for it.
        """
        request = policy_pb2.AuthorizeRequest(
            request_id=request_id or new_request_id(),
            session_token=session_token,
            context=policy_pb2.RunContext(
                run_id=run, task_id=task, agent_id=agent, mode=named(policy_pb2.Mode, mode, "mode")
            ),
            action=policy_pb2.Action(
                action_id="a1",
                name=action,
                target=target,
                environment=environment,
                parameters=dict(parameters or {}),
            ),
            approval_id=approval_id,
        )
        return await self._call(self._policy.Authorize, request)
