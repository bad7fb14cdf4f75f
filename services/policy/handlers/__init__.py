"""Use cases: look up, decide, append. Knows neither wire nor servers, and reads no clock."""

from kernel.ports import Aggregates, Following, SubjectKeys
from services.policy.domain import agent, approval
from services.policy.domain.policyset import PublishedSet, PublishPolicySet
from services.policy.handlers.agents import Agents
from services.policy.handlers.approvals import Approvals
from services.policy.handlers.authorization import Authorization
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Clock, Digest, NewId, Packets, PolicySetReader, Record, Secrets, Signer


class Policy:
    """The service: one part per kind of thing it keeps, and the decision that rests on all of them."""

    def __init__(
        self,
        agents: Aggregates[agent.Agent, agent.Command],
        approvals: Aggregates[approval.Approval, approval.Command],
        published: Aggregates[PublishedSet, PublishPolicySet],
        packets: Packets,
        following: Following,
        *,
        record: Record,
        signer: Signer,
        reader: PolicySetReader,
        digest: Digest,
        keys: SubjectKeys,
        now: Clock,
        new_id: NewId,
        new_secret: Secrets,
    ) -> None:
        self.policy_sets = PolicySets(published, reader)
        self.agents = Agents(agents, following, self.policy_sets, signer, new_secret, new_id)
        self.approvals = Approvals(approvals, following, digest, keys, now)
        self.authorization = Authorization(
            agents, approvals, packets, self.policy_sets, following, record, signer, digest, keys, now
        )
