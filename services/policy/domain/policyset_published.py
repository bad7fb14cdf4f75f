"""The policy sets a tenant has published: one is in force, the last ones may come back."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from kernel.decider import Decider
from services.policy.domain.policyset_faults import PolicySetInvalid, PolicySetStale, PolicySetUnknown

REMEMBERED = 50
"""So many documents are kept in memory, at most `REMEMBERED_BYTES` of them together; the log has them all."""
REMEMBERED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LabelNames:
    """The labels that a set names; they may be none."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublishPolicySet:
    """Put a set in force instead of `replaces_version`; `in_force` is what holds when nothing was published, and
    `built_in` its document: that version is used, in the log or not."""

    version: str
    document: str
    replaces_version: str
    in_force: str
    built_in: str
    by: str
    at: datetime
    why: str = ""
    labels: LabelNames | None = None
    stuck_seconds: int = 0


@dataclass(frozen=True, slots=True)
class RollbackPolicySet:
    """Put an older set in force again, as it was."""

    to_version: str
    replaces_version: str
    by: str
    at: datetime
    why: str = ""
    labels: LabelNames | None = None
    stuck_seconds: int = 0


@dataclass(frozen=True, slots=True)
class PolicySetPublished:
    version: str
    document: str
    by: str
    at: datetime
    why: str = ""
    labels: LabelNames | None = None
    """Told to those who do not read the document; `None`: the set names none, and any may be used."""
    stuck_seconds: int = 0
    """0: the set does not say."""


@dataclass(frozen=True, slots=True)
class PolicySetRolledBack:
    to_version: str
    from_version: str
    by: str
    why: str
    at: datetime
    labels: LabelNames | None = None
    stuck_seconds: int = 0


Command = PublishPolicySet | RollbackPolicySet
Event = PolicySetPublished | PolicySetRolledBack


@dataclass(frozen=True, slots=True)
class Publication:
    """One time that a set came into force."""

    version: str
    by: str
    at: datetime
    why: str
    rolled_back: bool


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """What is in force (empty as long as nothing was published), and what was, oldest first."""

    version: str = ""
    document: str = ""
    history: tuple[Publication, ...] = ()
    documents: tuple[tuple[str, str], ...] = ()
    """Version and document of the last ones, oldest first; each version once."""

    def document_of(self, version: str) -> str:
        """The document that was published as `version`.

        Raises:
            PolicySetUnknown: none was, or too long ago.
        """
        for known, document in self.documents:
            if known == version:
                return document
        raise PolicySetUnknown(version)


def decide(published: PublishedSet, command: Command) -> Event | None:
    """What `command` changes: nothing, if this very set is in force already.

    Raises:
        PolicySetStale: another version than `replaces_version` is in force.
        PolicySetInvalid: the version is in use for another document.
        PolicySetUnknown: there is no such version to go back to.
    """
    match command:
        case PublishPolicySet():
            return _publish(published, command)
        case RollbackPolicySet(to_version=version) if version == published.version and version:
            return None
        case RollbackPolicySet(to_version=version):
            published.document_of(version)
            if command.replaces_version != published.version:
                raise PolicySetStale(command.replaces_version, published.version)
            return PolicySetRolledBack(
                version,
                published.version,
                command.by,
                command.why,
                command.at,
                command.labels,
                command.stuck_seconds,
            )
        case _:
            assert_never(command)


def _publish(published: PublishedSet, command: PublishPolicySet) -> PolicySetPublished | None:
    if (published.version, published.document) == (command.version, command.document):
        return None
    in_force = published.version or command.in_force
    if command.replaces_version != in_force:
        raise PolicySetStale(command.replaces_version, in_force)
    known = {command.in_force: command.built_in} | dict(published.documents)
    if known.get(command.version, command.document) != command.document:
        raise PolicySetInvalid(
            f"version {command.version!r} was published with other rules: give it a new one", "version"
        )
    return PolicySetPublished(
        command.version,
        command.document,
        command.by,
        command.at,
        command.why,
        command.labels,
        command.stuck_seconds,
    )


def evolve(published: PublishedSet, event: Event) -> PublishedSet:
    match event:
        case PolicySetPublished(version=version, document=document):
            entry = Publication(version, event.by, event.at, event.why, rolled_back=False)
            kept = [each for each in published.documents if each[0] != version]
            return PublishedSet(
                version, document, _last(published, entry), _bounded((*kept, (version, document)))
            )
        case PolicySetRolledBack(to_version=version):
            entry = Publication(version, event.by, event.at, event.why, rolled_back=True)
            document = dict(published.documents).get(version, "")  # forgotten: nothing is allowed
            return PublishedSet(version, document, _last(published, entry), published.documents)
        case _:
            assert_never(event)


def _last(published: PublishedSet, entry: Publication) -> tuple[Publication, ...]:
    return (*published.history, entry)[-REMEMBERED:]


def _bounded(documents: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    kept = list(documents[-REMEMBERED:])
    while len(kept) > 1 and sum(len(document) for _, document in kept) > REMEMBERED_BYTES:
        del kept[0]
    return tuple(kept)


POLICY_SET: Decider[Command, PublishedSet, Event] = Decider(
    "policy", "policyset", PublishedSet(), decide, evolve
)
