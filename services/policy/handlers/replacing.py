"""How another policy set replaces the one in force: looked over, compared, published, taken back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice

from kernel.events import Cause, derived_id
from kernel.faults import Invalid, Unavailable
from kernel.ports import Aggregates
from services.policy.domain.actor import POLICY
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_diff import Difference, differences
from services.policy.domain.policyset_faults import PolicySetInvalid, PolicySetTestsFailed
from services.policy.domain.policyset_published import (
    Command,
    LabelNames,
    PublishedSet,
    PublishPolicySet,
    RollbackPolicySet,
    decide,
)
from services.policy.domain.policyset_rules import Publishing
from services.policy.handlers.apart import Apart
from services.policy.handlers.policysets import CURRENT, PolicySets
from services.policy.handlers.validating import Remark, Validated, validated
from services.policy.ports.sets import GivenUp, PolicySetReader, Rules

FIRST_TENANT = "default"
MOST_DIFFERENCES = 10_000
LOOKED_AT_ONCE = 2
"""Documents; each takes a thread, and a process when it has custom rules."""
MOST_WAITING = 8
"""Documents that wait for their turn beside those."""

Gate = Callable[[str, Publishing, Cause], Awaitable[None]]
"""What stands before a document that is to go live: raises why it may not."""


class Replacing:
    """A set that does not parse, compile or pass its tests never goes live, nor one that the gate refuses."""

    def __init__(
        self,
        published: Aggregates[PublishedSet, Command],
        sets: PolicySets,
        reader: PolicySetReader,
        rules: Rules | None,
        gate: Gate,
    ) -> None:
        self._published = published
        self._sets = sets
        self._reader = reader
        self._rules = rules
        self._gate = gate
        # Everybody may have sets looked over, and it takes seconds: who puts a set in force never waits for that.
        self._looking = Apart("sets looked over", LOOKED_AT_ONCE, MOST_WAITING)
        self._publishing = Apart("sets published", 1)

    async def validate(self, document: str) -> Validated:
        """Everything that is wrong with `document`, and how its tests come out. Changes nothing.

        Raises:
            TooManyDocuments: others are looked over.
        """
        return await self._looking.run(partial(validated, self._reader, self._rules, document))

    async def diff(
        self, tenant: str, old_version: str, new_version: str, document: str
    ) -> tuple[str, str, Sequence[Difference]]:
        """Both versions, and what differs.

        Raises:
            PolicySetInvalid: the document cannot be read.
            PolicySetUnknown: there is no such version.
            TooManyDocuments: others are looked over.
        """
        old = self._sets.shown(tenant, old_version)
        new = document or self._sets.shown(tenant, new_version).document
        return await self._looking.run(partial(self._compared, old.document, new))

    def _compared(self, old: str, new: str, _: GivenUp) -> tuple[str, str, Sequence[Difference]]:
        before, after = self._reader.read(old), self._reader.check(new)
        return before.version, after.version, list(islice(differences(before, after), MOST_DIFFERENCES))

    async def publish(
        self, document: str, replaces_version: str, cause: Cause, why: str = ""
    ) -> tuple[str, int, Sequence[Remark]]:
        """Put `document` in force; its version, the sequence of the event, and what may surprise in it.

        Raises:
            PolicySetInvalid, PolicySetTestsFailed: it never goes live.
            PolicySetStale; Invalid when `replaces_version` is missing; what the gate raises.
        """
        checked, found = await self._checked(document, replaces_version)
        command = PublishPolicySet(
            checked.version,
            document,
            replaces_version,
            self._sets.default.version,
            self._reader.default_document,
            cause.actor,
            cause.at,
            why,
            *_told(checked),
        )
        try:
            return checked.version, await self._past_the_gate(command, cause), found.warnings
        except PolicySetInvalid as fault:
            if fault.path != "version" or fault.facts["place"]:
                raise
            raise Remark(*found.version_at, fault.path, fault.problem).fault() from None

    async def _past_the_gate(self, command: PublishPolicySet, cause: Cause) -> int:
        in_force = self._sets.in_force(cause.tenant)
        if in_force is not None and in_force.rules.publishing.gates:
            if decide(self._published.current(cause.tenant, CURRENT), command) is None:
                # Not by the log: what is in force by then may be another, and this one has not passed its gate.
                return self._published.head(cause.tenant, CURRENT).sequence
            await self._gate(command.document, in_force.rules.publishing, cause)
        asked = cause.about(command.document, command.replaces_version)
        appended = await self._published.handle(CURRENT, command, asked)
        return appended.sequence

    async def roll_back(
        self, to_version: str, replaces_version: str, cause: Cause, why: str
    ) -> tuple[str, int]:
        """Put an older set in force again; its version, and the sequence of the event.

        It has to be read and pass its tests again, for the program may have changed, unless this very process has seen
        it pass them; nothing is simulated: it was live.

        Raises:
            PolicySetUnknown, PolicySetStale, PolicySetInvalid, PolicySetTestsFailed.
        """
        published = self._published.current(cause.tenant, CURRENT)
        document = self._sets.shown(cause.tenant, to_version).document
        checked = self._sets.remembered(document) if replaces_version else None
        if checked is None:
            checked, _ = await self._checked(document, replaces_version)
        told = _told(checked)
        command: Command = RollbackPolicySet(to_version, replaces_version, cause.actor, cause.at, why, *told)
        if to_version not in dict(published.documents):
            # The built-in one, which was in force and never published.
            default = self._sets.default.version
            command = PublishPolicySet(
                to_version, document, replaces_version, default, document, cause.actor, cause.at, why, *told
            )
        asked = cause.about(to_version, replaces_version)
        appended = await self._published.handle(CURRENT, command, asked)
        return to_version, appended.sequence

    async def publish_default(self, at: datetime) -> None:
        """Put the built-in set on record for the first tenant, unless it has published one. Any replica may."""
        try:
            if self._published.current(FIRST_TENANT, CURRENT).version:
                return
        except Unavailable:
            return  # what is there cannot be read, so that nothing is allowed: nothing else takes its place
        version = self._sets.default.version
        cause = Cause(FIRST_TENANT, derived_id(FIRST_TENANT, "policyset", version), POLICY, at)
        document, told = self._reader.default_document, _told(self._sets.default)
        command = PublishPolicySet(version, document, version, version, document, POLICY, at, "", *told)
        await self._published.handle(CURRENT, command, cause)

    async def _checked(self, document: str, replaces_version: str) -> tuple[PolicySet, Validated]:
        """The set, and what there is to say of it."""
        if not replaces_version:
            text = "replaces_version is needed: read the set in force, and name its version"
            raise Invalid("FIELD_MISSING", text, field="replaces_version")
        found = await self._publishing.run(partial(validated, self._reader, self._rules, document))
        if found.problems:
            raise found.fault()
        failed = [(test.name, test.text) for test in found.tests if not test.passed]
        if failed:
            raise PolicySetTestsFailed(failed)
        assert found.policy is not None
        self._sets.remember(document, found.policy)
        return found.policy, found


def _told(policy: PolicySet) -> tuple[LabelNames | None, int]:
    """What its event says of a set to those who do not read documents."""
    labels = policy.rules.labels
    return None if labels is None else LabelNames(tuple(labels)), policy.rules.stuck_seconds
