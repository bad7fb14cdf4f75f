"""The policy set in force, per tenant, and how another replaces it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from kernel.events import Cause, derived_id
from kernel.faults import Invalid, Unavailable
from kernel.ports import Aggregates
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_diff import Difference, differences
from services.policy.domain.policyset_faults import (
    PolicySetBeingRead,
    PolicySetInvalid,
    PolicySetTestsFailed,
    TooManyDocuments,
)
from services.policy.domain.policyset_published import (
    Command,
    LabelNames,
    Publication,
    PublishedSet,
    PublishPolicySet,
    RollbackPolicySet,
    decide,
)
from services.policy.domain.policyset_rules import Publishing
from services.policy.handlers.pages import Page
from services.policy.handlers.validating import Remark, Validated, validated
from services.policy.ports.sets import PolicySetReader, Rules

CURRENT = "current"
FIRST_TENANT = "default"
ACTOR = "service:policy"
MOST_DIFFERENCES = 10_000
LARGE = 16 * 1024
REMEMBERED = 4
"""Documents that were published here, and need not be read again."""
LOOKED_AT_ONCE = 2
"""Documents; each takes a thread, and a process when it has custom rules."""
MOST_WAITING = 8
"""Documents that wait for their turn beside those."""

Gate = Callable[[str, Publishing, Cause], Awaitable[None]]
"""What stands before a document that is to go live: raises why it may not."""


@dataclass(frozen=True, slots=True)
class SetInForce:
    """Version and document as published; sequence 0 for the built-in set, and for one that is not in force."""

    version: str
    document: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One time that a set came into force, and the sequence of the event that says so."""

    publication: Publication
    document: str
    sequence: int
    in_force: bool


class PolicySets:
    """Sets are compiled when they are first needed, and kept until another is published."""

    def __init__(
        self,
        published: Aggregates[PublishedSet, Command],
        reader: PolicySetReader,
        rules: Rules | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._published = published
        self._reader = reader
        self._rules = rules
        self._gate = gate
        self._default = reader.read(reader.default_document)
        self._compiled: dict[str, tuple[PublishedSet, PolicySet | None]] = {}
        self._compiling: dict[str, tuple[PublishedSet, asyncio.Future[PolicySet | None]]] = {}
        self._looked_at: dict[str, PolicySet] = {}
        self._looking = asyncio.Semaphore(LOOKED_AT_ONCE)
        self._waiting = 0
        self._publishing = asyncio.Semaphore(1)

    def in_force(self, tenant: str) -> PolicySet | None:
        """The tenant's set, the built-in one until it publishes; None if the published one cannot be read.

        Raises:
            PolicySetBeingRead: it is a large one, and new.
        """
        try:
            published = self._published.current(tenant, CURRENT)
        except Unavailable:
            return None  # an event that this program cannot read may have changed everything
        if not published.version:
            return self._default
        known = self._compiled.get(tenant)
        if known is not None and known[0] is published:
            return known[1]
        compiled = self._looked_at.get(published.document)
        if compiled is None and len(published.document) > LARGE:
            compiled = self._compiled_apart(tenant, published)
        elif compiled is None:
            compiled = self._compile(published)
        self._compiled[tenant] = (published, compiled)
        return compiled

    def _compiled_apart(self, tenant: str, published: PublishedSet) -> PolicySet | None:
        """Nothing else waits while a large set is read; who asks for it meanwhile is told to ask again."""
        known, future = self._compiling.get(tenant, (None, None))
        if future is None or known is not published:
            future = asyncio.get_running_loop().run_in_executor(None, self._compile, published)
            self._compiling[tenant] = (published, future)
        if not future.done():
            raise PolicySetBeingRead(published.version)
        del self._compiling[tenant]
        return future.result()

    def shown(self, tenant: str, version: str = "") -> SetInForce:
        """What is in force, or was under this version.

        Raises:
            PolicySetUnknown: no such version was, or too long ago.
        """
        published = self._published.current(tenant, CURRENT)
        if version in {"", published.version} and published.version:
            sequence = self._published.head(tenant, CURRENT).sequence
            return SetInForce(published.version, published.document, sequence)
        if version in {"", self._default.version} and version not in dict(published.documents):
            return SetInForce(self._default.version, self._reader.default_document, 0)
        return SetInForce(version, published.document_of(version), 0)

    @property
    def schema(self) -> str:
        """The JSON Schema of documents."""
        return self._reader.schema

    def listed(self, tenant: str, size: int, token: str) -> Page[Listed]:
        """Those that were in force, newest first; the token counts from the oldest.

        Raises:
            Invalid: the token is not from this list.
        """
        published = self._published.current(tenant, CURRENT)
        documents, head = dict(published.documents), self._published.head(tenant, CURRENT)
        oldest = head.version - len(published.history)
        end = len(published.history)
        if token:
            if not token.isdecimal() or not 0 <= int(token) - oldest <= end:
                text = "page_token is not from this list: begin again"
                raise Invalid("PAGE_TOKEN_INVALID", text, field="page_token")
            end = int(token) - oldest
        start = max(0, end - size)
        # 0 where the log holds an event twice: then nobody can say which is which.
        sequences = (*[0] * len(published.history), *self._published.sequences(tenant, CURRENT))
        sequences = sequences[len(sequences) - len(published.history) :]
        items = [self._listed(published, documents, sequences, n) for n in range(start, end)]
        return Page(tuple(reversed(items)), str(start + oldest) if start else "")

    def _listed(
        self, published: PublishedSet, documents: Mapping[str, str], sequences: Sequence[int], n: int
    ) -> Listed:
        each, newest = published.history[n], n == len(published.history) - 1
        return Listed(each, documents.get(each.version, ""), sequences[n], newest)

    async def validate(self, document: str) -> Validated:
        """Everything that is wrong with `document`, and how its tests come out. Changes nothing.

        Raises:
            TooManyDocuments: others are looked over.
        """
        async with self._turn():
            return await asyncio.to_thread(validated, self._reader, self._rules, document)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Everybody may ask, and it takes seconds: so many wait, and who puts a set in force never does."""
        if self._waiting >= MOST_WAITING:
            raise TooManyDocuments(MOST_WAITING)
        self._waiting += 1
        try:
            await self._looking.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._looking.release()

    async def diff(
        self, tenant: str, old_version: str, new_version: str, document: str
    ) -> tuple[str, str, Sequence[Difference]]:
        """Both versions, and what differs.

        Raises:
            PolicySetInvalid: the document cannot be read.
            PolicySetUnknown: there is no such version.
            TooManyDocuments: others are looked over.
        """
        old = self.shown(tenant, old_version)
        new = document or self.shown(tenant, new_version).document
        async with self._turn():
            return await asyncio.to_thread(self._compared, old.document, new)

    def _compared(self, old: str, new: str) -> tuple[str, str, Sequence[Difference]]:
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
            self._default.version,
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
        in_force = self.in_force(cause.tenant)
        if self._gate is not None and in_force is not None and in_force.rules.publishing != Publishing():
            if decide(self._published.current(cause.tenant, CURRENT), command) is None:
                # Not by the log: what is in force by then may be another, and this one has not passed its gate.
                return self._published.head(cause.tenant, CURRENT).sequence
            await self._gate(command.document, in_force.rules.publishing, cause)
        appended = await self._published.handle(CURRENT, command, cause)
        return appended.sequence

    async def roll_back(
        self, to_version: str, replaces_version: str, cause: Cause, why: str
    ) -> tuple[str, int]:
        """Put an older set in force again; its version, and the sequence of the event.

        It has to be read and pass its tests again, for the program may have changed; nothing is simulated: it was live.

        Raises:
            PolicySetUnknown, PolicySetStale, PolicySetInvalid, PolicySetTestsFailed.
        """
        published = self._published.current(cause.tenant, CURRENT)
        document = self.shown(cause.tenant, to_version).document
        checked, _ = await self._checked(document, replaces_version)
        told = _told(checked)
        command: Command = RollbackPolicySet(to_version, replaces_version, cause.actor, cause.at, why, *told)
        if to_version not in dict(
            published.documents
        ):  # the built-in one, which was in force and never published
            default = self._default.version
            command = PublishPolicySet(
                to_version, document, replaces_version, default, cause.actor, cause.at, why, *told
            )
        appended = await self._published.handle(CURRENT, command, cause)
        return to_version, appended.sequence

    async def publish_default(self, at: datetime) -> None:
        """Put the built-in set on record for the first tenant, unless it has published one. Any replica may."""
        if self._published.current(FIRST_TENANT, CURRENT).version:
            return
        version = self._default.version
        cause = Cause(FIRST_TENANT, derived_id(FIRST_TENANT, "policyset", version), ACTOR, at)
        document, told = self._reader.default_document, _told(self._default)
        command = PublishPolicySet(version, document, version, version, ACTOR, at, "", *told)
        await self._published.handle(CURRENT, command, cause)

    async def _checked(self, document: str, replaces_version: str) -> tuple[PolicySet, Validated]:
        """The set, and what there is to say of it."""
        if not replaces_version:
            text = "replaces_version is needed: read the set in force, and name its version"
            raise Invalid("FIELD_MISSING", text, field="replaces_version")
        async with self._publishing:
            found = await asyncio.to_thread(validated, self._reader, self._rules, document)
        if found.problems:
            raise found.fault()
        failed = [(test.name, test.text) for test in found.tests if not test.passed]
        if failed:
            raise PolicySetTestsFailed(failed)
        assert found.policy is not None
        self._looked_at[document] = found.policy
        while len(self._looked_at) > REMEMBERED:
            del self._looked_at[next(iter(self._looked_at))]
        return found.policy, found

    def _compile(self, published: PublishedSet) -> PolicySet | None:
        try:
            return self._reader.read(published.document)
        except PolicySetInvalid:
            return None  # every decision of this tenant is a DENY that says so


def _told(policy: PolicySet) -> tuple[LabelNames | None, int]:
    """What its event says of a set to those who do not read documents."""
    labels = policy.rules.labels
    return None if labels is None else LabelNames(tuple(labels)), policy.rules.stuck_seconds
