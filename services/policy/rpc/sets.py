"""Policy sets: read, published."""

from chassis.rpc.cause import cause_of
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.rpc.callers import Context, admitted
from services.policy.wire.texts import bounded

MAX_DOCUMENT = 256 * 1024


class SetsRpc(PolicyServiceServicer):
    """The rules in force, and how others replace them."""

    _policy: Policy

    async def GetPolicySet(
        self, _request: pb.GetPolicySetRequest, context: Context
    ) -> pb.GetPolicySetResponse:
        tenant = admitted(context, "GetPolicySet").tenant
        shown = self._policy.policy_sets.shown(tenant)
        return pb.GetPolicySetResponse(
            version=shown.version, document=shown.document, sequence=shown.sequence
        )

    async def PublishPolicySet(
        self, request: pb.PublishPolicySetRequest, context: Context
    ) -> pb.PublishPolicySetResponse:
        admitted(context, "PublishPolicySet")
        document = bounded(request.document, "document", MAX_DOCUMENT)
        cause = cause_of(context, request.request_id)
        version, sequence = await self._policy.policy_sets.publish(document, request.replaces_version, cause)
        return pb.PublishPolicySetResponse(version=version, sequence=sequence)
