"""Policy sets: read, looked over, compared, published, taken back."""

from hashlib import sha256

from chassis.rpc.cause import Context, cause_of
from kernel.faults import Invalid
from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceServicer
from services.policy.handlers import Policy
from services.policy.handlers.pages import size_of
from services.policy.handlers.policysets import Listed
from services.policy.handlers.validating import Remark, Tried
from services.policy.rpc.callers import admitted
from services.policy.wire.differences import difference_to_wire
from services.policy.wire.texts import MAX_POLICY_VERSION, MAX_TEXT, bounded, stamp


class SetsRpc(PolicyServiceServicer):
    """The rules in force, and how others replace them."""

    _policy: Policy

    async def GetPolicySet(
        self, request: pb.GetPolicySetRequest, context: Context
    ) -> pb.GetPolicySetResponse:
        tenant = admitted(context, "GetPolicySet").tenant
        version = bounded(request.version, "version", MAX_POLICY_VERSION, least=0)
        shown = self._policy.policy_sets.shown(tenant, version)
        return pb.GetPolicySetResponse(
            version=shown.version, document=shown.document, sequence=shown.sequence
        )

    async def ListPolicySets(
        self, request: pb.ListPolicySetsRequest, context: Context
    ) -> pb.ListPolicySetsResponse:
        tenant = admitted(context, "ListPolicySets").tenant
        page = self._policy.policy_sets.listed(tenant, size_of(request.page_size), request.page_token)
        sets = [_published(each) for each in page.items]
        return pb.ListPolicySetsResponse(sets=sets, next_page_token=page.next_token)

    async def GetPolicySetSchema(
        self, _request: pb.GetPolicySetSchemaRequest, context: Context
    ) -> pb.GetPolicySetSchemaResponse:
        admitted(context, "GetPolicySetSchema")
        return pb.GetPolicySetSchemaResponse(schema=self._policy.policy_sets.schema)

    async def ValidatePolicySet(
        self, request: pb.ValidatePolicySetRequest, context: Context
    ) -> pb.ValidatePolicySetResponse:
        admitted(context, "ValidatePolicySet")
        found = await self._policy.replacing.validate(request.document)
        return pb.ValidatePolicySetResponse(
            version=found.policy.version if found.policy is not None else "",
            problems=[_problem(each) for each in found.problems],
            warnings=[_problem(each) for each in found.warnings],
            tests=[_test(each) for each in found.tests],
        )

    async def DiffPolicySets(
        self, request: pb.DiffPolicySetsRequest, context: Context
    ) -> pb.DiffPolicySetsResponse:
        tenant = admitted(context, "DiffPolicySets").tenant
        if bool(request.new_version) == bool(request.new_document):
            text = "one of new_version and new_document is needed, and not both"
            raise Invalid("FIELD_INVALID", text, field="new_version")
        old, new, differences = await self._policy.replacing.diff(
            tenant,
            bounded(request.old_version, "old_version", MAX_POLICY_VERSION, least=0),
            bounded(request.new_version, "new_version", MAX_POLICY_VERSION, least=0),
            request.new_document,
        )
        shown = [difference_to_wire(each) for each in differences]
        return pb.DiffPolicySetsResponse(old_version=old, new_version=new, differences=shown)

    async def PublishPolicySet(
        self, request: pb.PublishPolicySetRequest, context: Context
    ) -> pb.PublishPolicySetResponse:
        admitted(context, "PublishPolicySet")
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        version, sequence, warnings = await self._policy.replacing.publish(
            request.document, request.replaces_version, cause, why
        )
        told = map(_problem, warnings)
        return pb.PublishPolicySetResponse(version=version, sequence=sequence, warnings=told)

    async def RollbackPolicySet(
        self, request: pb.RollbackPolicySetRequest, context: Context
    ) -> pb.RollbackPolicySetResponse:
        admitted(context, "RollbackPolicySet")
        to_version = bounded(request.to_version, "to_version", MAX_POLICY_VERSION)
        why = bounded(request.why, "why", MAX_TEXT, least=0)
        cause = cause_of(context, request.request_id)
        version, sequence = await self._policy.replacing.roll_back(
            to_version, request.replaces_version, cause, why
        )
        return pb.RollbackPolicySetResponse(version=version, sequence=sequence)


def _published(each: Listed) -> pb.ListPolicySetsResponse.PublishedSet:
    publication = each.publication
    return pb.ListPolicySetsResponse.PublishedSet(
        version=publication.version,
        by=publication.by,
        at=stamp(publication.at),
        sequence=each.sequence,
        in_force=each.in_force,
        rolled_back_to=publication.rolled_back,
        why=publication.why,
        sha256=sha256(each.document.encode()).hexdigest() if each.document else "",
    )


def _problem(remark: Remark) -> pb.ValidatePolicySetResponse.Problem:
    return pb.ValidatePolicySetResponse.Problem(
        line=remark.line, column=remark.column, path=remark.path, text=remark.text
    )


def _test(tried: Tried) -> pb.ValidatePolicySetResponse.Test:
    return pb.ValidatePolicySetResponse.Test(
        name=tried.name, passed=tried.passed, text=tried.text, line=tried.line
    )
