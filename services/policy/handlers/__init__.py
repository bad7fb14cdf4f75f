"""Use cases: look up, decide, append. Knows neither wire nor servers, and reads no clock.

Where to look, each beginning with the file to open first:

* a decision: `authorization`, of an `ask`, by the facts in `judging`, written down as `minutes` and `sealing` say,
  answered again from `recent`; whose power is used: `bearing`; the same without consequences: `explaining`
* what a decision costs: `drawing`; what is set aside by itself: `budgets`; what people set and see: `limits`
* agents: `agents`, with `lineage` and `known`; secrets and sessions: `sessions`
* tiers: `promotions`, moved by themselves in `trust`
* approvals: `approvals`
* revocation: `revocation`; what it takes here: `taking`, and outside of the log: `endings`; what a replica left undone:
  `unconfirmed`
* policy sets: `policysets` (in force), `replacing` and `validating` (the next one), `simulating`; slow work: `apart`
* used by all: `fresh` (who does not know the newest answers nobody) and `pages`
"""

from kernel.ports import Following
from services.policy.handlers.agents import Agents
from services.policy.handlers.approvals import Approvals
from services.policy.handlers.authorization import Authorization
from services.policy.handlers.budgets import Spending
from services.policy.handlers.endings import Endings
from services.policy.handlers.explaining import Explaining
from services.policy.handlers.judging import Judging
from services.policy.handlers.limits import Limits
from services.policy.handlers.policysets import PolicySets
from services.policy.handlers.promotions import Promotions
from services.policy.handlers.replacing import Replacing
from services.policy.handlers.revocation import Revocation
from services.policy.handlers.sessions import Sessions
from services.policy.handlers.simulating import Simulating
from services.policy.handlers.taking import Taking
from services.policy.handlers.trust import Trust
from services.policy.handlers.unconfirmed import Unconfirmed
from services.policy.ports import Held, Means


class Policy:
    """The service: one part per kind of thing it keeps, and the decision that rests on all of them."""

    def __init__(self, held: Held, following: Following, means: Means) -> None:
        self.signer = means.signer
        self.simulating = Simulating(means.simulations)
        self.policy_sets = PolicySets(held.published, means.reader)
        self.replacing = Replacing(
            held.published, self.policy_sets, means.reader, means.rules, self.simulating.refuse_flips
        )
        self.agents = Agents(held, following)
        self.endings = Endings(held.agents, means.identity)
        self.sessions = Sessions(held, following, self.policy_sets, means, self.endings.owe)
        self.revocation = Revocation(held, following, means)
        self.limits = Limits(held, self.policy_sets, following, means)
        self.spending = Spending(held, self.policy_sets, following, means)
        self.taking = Taking(held, self.spending, self.endings, means)
        self.unconfirmed = Unconfirmed(held.agents, self.revocation, means.now)
        judging = Judging(held, self.policy_sets, means)
        self.approvals = Approvals(held, judging, following, means)
        self.promotions = Promotions(held, self.policy_sets, following, means)
        self.trust = Trust(held, self.policy_sets, self.promotions, means)
        self.authorization = Authorization(held, judging, following, means)
        self.explaining = Explaining(judging, self.policy_sets, following, means)
