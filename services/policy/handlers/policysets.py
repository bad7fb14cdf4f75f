"""The policy set in force, per tenant, and how another replaces it."""

from dataclasses import dataclass
from datetime import datetime

from kernel.events import Cause, derived_id
from kernel.faults import Invalid, Unavailable
from kernel.ports import Aggregates
from services.policy.domain.faults import PolicySetInvalid
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_published import Command, PublishedSet, PublishPolicySet
from services.policy.ports import PolicySetReader

CURRENT = "current"
FIRST_TENANT = "default"
ACTOR = "service:policy"


@dataclass(frozen=True, slots=True)
class SetInForce:
    """Version and document as published; sequence 0 for the built-in set."""

    version: str
    document: str
    sequence: int


class PolicySets:
    """Sets are compiled when they are first needed, and kept until another is published."""

    def __init__(
        self, published: Aggregates[PublishedSet, Command], reader: PolicySetReader
    ) -> None:
        self._published = published
        self._reader = reader
        self._default = reader.read(reader.default_document)
        self._compiled: dict[str, tuple[PublishedSet, PolicySet | None]] = {}

    def in_force(self, tenant: str) -> PolicySet | None:
        """The tenant's set, the built-in one until it publishes; None if the published one cannot be read."""
        try:
            published = self._published.current(tenant, CURRENT)
        except Unavailable:
            return None  # an event that this program cannot read may have changed everything
        if not published.version:
            return self._default
        known = self._compiled.get(tenant)
        if known is not None and known[0] is published:
            return known[1]
        compiled = self._compile(published)
        self._compiled[tenant] = (published, compiled)
        return compiled

    def shown(self, tenant: str) -> SetInForce:
        """What is in force."""
        published = self._published.current(tenant, CURRENT)
        if not published.version:
            return SetInForce(self._default.version, self._reader.default_document, 0)
        return SetInForce(
            published.version, published.document, self._published.head(tenant, CURRENT).sequence
        )

    async def publish(self, document: str, replaces_version: str, cause: Cause) -> tuple[str, int]:
        """Put `document` in force; its version, and the sequence of the event.

        Raises:
            PolicySetInvalid, PolicySetStale; Invalid when `replaces_version` is missing.
        """
        if not replaces_version:
            text = "replaces_version is needed: read the set in force, and name its version"
            raise Invalid("FIELD_MISSING", text, field="replaces_version")
        checked = self._reader.check(document)
        command = PublishPolicySet(
            checked.version, document, replaces_version, self._default.version, cause.actor, cause.at
        )
        appended = await self._published.handle(CURRENT, command, cause)
        return checked.version, appended.sequence

    async def publish_default(self, at: datetime) -> None:
        """Put the built-in set on record for the first tenant, unless it has published one. Any replica may."""
        if self._published.current(FIRST_TENANT, CURRENT).version:
            return
        version = self._default.version
        cause = Cause(FIRST_TENANT, derived_id(FIRST_TENANT, "policyset", version), ACTOR, at)
        command = PublishPolicySet(version, self._reader.default_document, version, version, ACTOR, at)
        await self._published.handle(CURRENT, command, cause)

    def _compile(self, published: PublishedSet) -> PolicySet | None:
        try:
            return self._reader.read(published.document)
        except PolicySetInvalid:
            return None  # every decision of this tenant is a DENY that says so
