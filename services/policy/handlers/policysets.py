"""The policy set in force, per tenant, and those that were."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernel.faults import Invalid, Unavailable
from kernel.ports import Aggregates
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetBeingRead, PolicySetInvalid
from services.policy.domain.policyset_published import Command, Publication, PublishedSet
from services.policy.handlers.pages import Page
from services.policy.ports.sets import PolicySetReader

CURRENT = "current"
LARGE = 16 * 1024
REMEMBERED = 4
"""Documents that were published here, and need not be read again."""


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

    def __init__(self, published: Aggregates[PublishedSet, Command], reader: PolicySetReader) -> None:
        self._published = published
        self._reader = reader
        self.default = reader.read(reader.default_document)
        """The built-in set."""
        self._compiled: dict[str, tuple[PublishedSet, PolicySet | None]] = {}
        self._compiling: dict[str, tuple[PublishedSet, asyncio.Future[PolicySet | None]]] = {}
        self._looked_at: dict[str, PolicySet] = {}

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
            return self.default
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

    def required(self, tenant: str) -> PolicySet:
        """The set in force.

        Raises:
            Unavailable: nobody knows what it allows.
        """
        policy = self.in_force(tenant)
        if policy is None:
            text = "the policy set in force cannot be read: publish one that can"
            raise Unavailable("POLICY_SET_INVALID", text)
        return policy

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
        if version in {"", self.default.version} and version not in dict(published.documents):
            return SetInForce(self.default.version, self._reader.default_document, 0)
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

    def remember(self, document: str, policy: PolicySet) -> None:
        """What `document` says: it may come into force, and need not be read again then."""
        self._looked_at[document] = policy
        while len(self._looked_at) > REMEMBERED:
            del self._looked_at[next(iter(self._looked_at))]

    def remembered(self, document: str) -> PolicySet | None:
        """What `document` says, if it has passed its tests here, and lately."""
        return self._looked_at.get(document)

    def _compile(self, published: PublishedSet) -> PolicySet | None:
        try:
            return self._reader.read(published.document)
        except PolicySetInvalid:
            return None  # every decision of this tenant is a DENY that says so
