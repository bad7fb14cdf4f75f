"""Use cases: look up, decide, append. Knows neither wire nor servers, and reads no clock."""

from kernel.ports import Following
from services.policy.handlers.agents import Agents
from services.policy.handlers.approvals import Approvals
from services.policy.handlers.authorization import Authorization
from services.policy.handlers.policysets import PolicySets
from services.policy.handlers.revocation import Revocation
from services.policy.handlers.sessions import Sessions
from services.policy.ports import Held, Means


class Policy:
    """The service: one part per kind of thing it keeps, and the decision that rests on all of them."""

    def __init__(self, held: Held, following: Following, means: Means) -> None:
        self.signer = means.signer
        self.policy_sets = PolicySets(held.published, means.reader)
        self.agents = Agents(held.agents, following)
        self.sessions = Sessions(held.agents, self.policy_sets, means)
        self.revocation = Revocation(held.agents)
        self.approvals = Approvals(held.approvals, following, means)
        self.authorization = Authorization(held, self.policy_sets, following, means)
