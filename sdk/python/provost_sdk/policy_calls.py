"""What the client asks of policy: sets of rules, why an action may or may not be done, budgets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from provost.policy.v1 import policy_pb2
from provost_sdk.agent_calls import tier_of
from provost_sdk.transport import Connection, new_request_id
from provost_sdk.words import named

if TYPE_CHECKING:
    from provost.policy.v1.policy_pb2_grpc import PolicyServiceAsyncStub

VALIDATE_SECONDS = 60.0
PUBLISH_SECONDS = 600.0
SIMULATE_SECONDS = 6 * 3600.0


class PolicyCalls(Connection):
    """The part of the client that asks who may do what. Everything is of the key's own tenant."""

    _policy: "PolicyServiceAsyncStub"

    # Sets

    async def get_policy_set(self, version: str = "") -> policy_pb2.GetPolicySetResponse:
        """The set in force, or an older one by its version. Reason POLICY_SET_UNKNOWN."""
        return await self._call(self._policy.GetPolicySet, policy_pb2.GetPolicySetRequest(version=version))

    async def list_policy_sets(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> policy_pb2.ListPolicySetsResponse:
        """The sets that were in force, newest first."""
        request = policy_pb2.ListPolicySetsRequest(page_size=page_size, page_token=page_token)
        return await self._call(self._policy.ListPolicySets, request)

    async def get_policy_set_schema(self) -> str:
        """The JSON Schema of policy sets, as JSON."""
        request = policy_pb2.GetPolicySetSchemaRequest()
        return (await self._call(self._policy.GetPolicySetSchema, request)).schema

    async def validate_policy_set(self, document: str) -> policy_pb2.ValidatePolicySetResponse:
        """Everything that is wrong with a set, and how its tests come out."""
        request = policy_pb2.ValidatePolicySetRequest(document=document)
        return await self._call(self._policy.ValidatePolicySet, request, VALIDATE_SECONDS)

    async def diff_policy_sets(
        self, *, new_document: str = "", new_version: str = "", old_version: str = ""
    ) -> policy_pb2.DiffPolicySetsResponse:
        """What one set says otherwise than another; without `old_version`, than the one in force."""
        request = policy_pb2.DiffPolicySetsRequest(
            old_version=old_version, new_version=new_version, new_document=new_document
        )
        return await self._call(self._policy.DiffPolicySets, request, VALIDATE_SECONDS)

    async def publish_policy_set(
        self, document: str, *, replaces: str, why: str = "", request_id: str = ""
    ) -> policy_pb2.PublishPolicySetResponse:
        """Put a set in force in place of the version `replaces`; needs an admin's key.

        Reasons: POLICY_SET_INVALID, POLICY_SET_TESTS_FAILED, POLICY_SET_STALE, TOO_MANY_FLIPS.
        """
        request = policy_pb2.PublishPolicySetRequest(
            request_id=request_id or new_request_id(), document=document, replaces_version=replaces, why=why
        )
        return await self._call(self._policy.PublishPolicySet, request, PUBLISH_SECONDS)

    async def rollback_policy_set(
        self, to_version: str, *, replaces: str, why: str = "", request_id: str = ""
    ) -> policy_pb2.RollbackPolicySetResponse:
        """Put an older set in force again, as it was; needs an admin's key."""
        request = policy_pb2.RollbackPolicySetRequest(
            request_id=request_id or new_request_id(),
            to_version=to_version,
            replaces_version=replaces,
            why=why,
        )
        return await self._call(self._policy.RollbackPolicySet, request, PUBLISH_SECONDS)

    async def simulate_policy_set(
        self,
        *,
        document: str = "",
        version: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        agent: str = "",
        max_flips: int = 0,
    ) -> AsyncIterator[policy_pb2.SimulatePolicySetResponse]:
        """Recorded history decided anew under a set, told as it goes; the last answer is `done`."""
        request = policy_pb2.SimulatePolicySetRequest(
            document=document,
            version=version,
            from_time=_stamp(from_time),
            to_time=_stamp(to_time),
            agent_id=agent,
            max_flips=max_flips,
        )
        async for answer in self._answers(self._policy.SimulatePolicySet, request, SIMULATE_SECONDS):
            yield answer

    # Decisions

    async def explain(
        self,
        agent: str,
        action: str,
        *,
        target: str = "",
        environment: str = "sandbox",
        parameters: Mapping[str, str] | None = None,
        mode: str = "auto",
        run: str = "explain",
        task: str = "",
        tier: str = "",
        version: str = "",
        steps_done: Sequence[str] = (),
    ) -> policy_pb2.ExplainResponse:
        """What would be decided now, why, and what would have to change for a yes. Counts as nothing.

        Without `task` about that of the agent's packet.
        """
        request = policy_pb2.ExplainRequest(
            context=policy_pb2.RunContext(
                run_id=run,
                task_id=task,
                agent_id=agent,
                mode=named(policy_pb2.Mode, mode, "mode"),
                steps_done=steps_done,
            ),
            action=policy_pb2.Action(
                action_id="a1",
                name=action,
                target=target,
                environment=environment,
                parameters=dict(parameters or {}),
            ),
            tier=tier_of(tier) if tier else policy_pb2.TIER_UNSPECIFIED,
            policy_version=version,
        )
        return await self._call(self._policy.Explain, request)

    # Budgets

    async def list_budgets(
        self,
        *,
        run: str = "",
        agent: str = "",
        task: str = "",
        page_size: int = 0,
        page_token: str = "",
        at_least_sequence: int = 0,
    ) -> policy_pb2.ListBudgetsResponse:
        """Budgets, what is spent of each and what is set aside; of one run, agent or task, or all in use."""
        request = policy_pb2.ListBudgetsRequest(
            run_id=run,
            agent_id=agent,
            task_id=task,
            page_size=page_size,
            page_token=page_token,
            at_least_sequence=at_least_sequence,
        )
        return await self._call(self._policy.ListBudgets, request)

    async def set_budget(
        self,
        scope: str,
        scope_id: str,
        limits: Mapping[str, int],
        *,
        window_seconds: int = 0,
        why: str = "",
        request_id: str = "",
    ) -> policy_pb2.SetBudgetResponse:
        """Set limits by hand, as `set_budget("agent", "sre-1", {"actions": 100})`; none at all takes them back."""
        request = policy_pb2.SetBudgetRequest(
            request_id=request_id or new_request_id(),
            scope=named(policy_pb2.BudgetScope, scope, "scope"),
            scope_id=scope_id,
            limits=[
                policy_pb2.Limit(unit=named(policy_pb2.Unit, unit, "limits"), most=most)
                for unit, most in limits.items()
            ],
            window_seconds=window_seconds,
            why=why,
        )
        return await self._call(self._policy.SetBudget, request)


def _stamp(at: datetime | None) -> Timestamp | None:
    """Raises ValueError: in UTC it is beyond the years 1 to 9999."""
    if at is None:
        return None
    made = Timestamp()
    try:
        made.FromDatetime(at.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"{at} is beyond the years 1 to 9999, UTC") from None
    return made
