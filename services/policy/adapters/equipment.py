"""All that policy's use cases work with, put together, and ended together."""

from pathlib import Path
from typing import TYPE_CHECKING

from chassis import process
from kernel.ports import EventLog, Following, SubjectKeys
from services.policy.adapters.budget_lane import BudgetLane, HeldBudgets, LogTime
from services.policy.adapters.group_commit import GroupCommit
from services.policy.adapters.identity import identity_over
from services.policy.adapters.opa import OpaServer
from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.adapters.rego.rules import RegoRules
from services.policy.adapters.revoking import Revoking
from services.policy.adapters.signing import FileSigner, digest_of
from services.policy.adapters.simulating.running import ChildSimulations
from services.policy.ports import Means

if TYPE_CHECKING:
    from chassis.vault.client import Vault


class Equipment:
    """The means, and what of them is at work of itself."""

    def __init__(
        self,
        log: EventLog,
        budgets: HeldBudgets,
        following: Following,
        keys: SubjectKeys,
        revoking: Revoking,
        vault: "Vault | None",
        simulations: ChildSimulations,
        *,
        log_time: LogTime,
        signing_key: Path,
        opa_endpoint: str,
    ) -> None:
        self.opa = OpaServer(opa_endpoint)
        self._groups, self._rules = GroupCommit(log), RegoRules()
        self._lane = BudgetLane(budgets, following, log_time)
        self.means = Means(
            record=self._groups,
            budgets=self._lane,
            identity=identity_over(vault, process.new_secret),
            signer=FileSigner(signing_key),
            reader=YamlPolicySets(),
            digest=digest_of,
            keys=keys,
            simulations=simulations,
            words=revoking,
            now=process.now,
            new_id=process.new_id,
            new_secret=process.new_secret,
            rules=self._rules,
            opa=self.opa if self.opa.set else None,
        )

    async def stop(self) -> None:
        """What was begun is written first."""
        for stop in (self._groups.stop, self._lane.stop, self._rules.stop, self.opa.stop):
            await stop()
