"""What differs between policy sets, as messages."""

from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.policyset_diff import Difference
from services.policy.wire.tiers import TIERS


def difference_to_wire(difference: Difference) -> pb.DiffPolicySetsResponse.Difference:
    return pb.DiffPolicySetsResponse.Difference(
        kind=difference.kind,
        tier=pb.TIER_UNSPECIFIED if difference.tier is None else TIERS[difference.tier],
        environment=difference.environment,
        action=difference.action,
        before=difference.before,
        after=difference.after,
        wider=difference.wider,
    )
