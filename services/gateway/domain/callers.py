"""Who is calling: roles, and the keys that prove them.

A key itself is kept nowhere: what is compared, in constant time, is its SHA-256 digest, and what it is called in events
and logs is a label from which it cannot be had.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kernel.events import require_token
from kernel.faults import Invalid
from services.gateway.domain.faults import KeyMissing, KeyUnknown

DEFAULT_TENANT = "default"
OTHER_TENANTS, MAX_SHOWN_TENANTS = "other", 100
STRONG_LENGTH = 16
_ENTRY = re.compile(r"(?P<role>[a-z]+)(?:@(?P<tenant>[^:@]*))?:(?P<key>.*)", re.DOTALL)


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


ROLES = tuple(role.value for role in Role)

# What holding a role includes.
INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.APPROVER: frozenset({Role.VIEWER, Role.APPROVER}),
    Role.AUDITOR: frozenset({Role.VIEWER, Role.AUDITOR}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is asked. `actor` is `key:<label>`."""

    tenant: str
    actor: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`weak` when so short that it might be guessed."""

    digest: bytes
    caller: Caller
    weak: bool


def parse_keys(entries: str, plain: Role) -> tuple[ApiKey, ...]:
    """The keys in a comma list of `role@tenant:key`, `role:key` and plain `key`, which has the role `plain`.

    Raises:
        Invalid: an entry cannot be read; the text says which one by its place, never what it holds.
    """
    return tuple(
        _parse(entry.strip(), plain, place)
        for place, entry in enumerate(entries.split(","), start=1)
        if entry.strip()
    )


def _parse(entry: str, plain: Role, place: int) -> ApiKey:
    role, tenant, key = plain, DEFAULT_TENANT, entry
    if ":" in entry:
        found = _ENTRY.fullmatch(entry)
        if found is None or found["role"] not in ROLES:
            raise Invalid(
                "FIELD_INVALID",
                f"entry {place}: before ':' stands a role ({', '.join(ROLES)}), or role@tenant",
            )
        role, key = Role(found["role"]), found["key"]
        if found["tenant"] is not None:
            tenant = require_token(found["tenant"], f"entry {place}: tenant")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid(
            "FIELD_INVALID", f"entry {place}: a key is made of printable ASCII characters, without spaces"
        )
    caller = Caller(tenant, f"key:{role}-{_fingerprint(key)}", INCLUDES[role])
    return ApiKey(_digest(key), caller, weak=len(key) < STRONG_LENGTH)


class Keyring:
    """All keys there are. Without any, the door is open: everyone is `key:anonymous` with every role."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        if len({key.digest for key in self._keys}) < len(self._keys):
            raise Invalid("FIELD_INVALID", "the same key is configured twice")
        self.open = not self._keys
        tenants = dict.fromkeys((DEFAULT_TENANT, *(key.caller.tenant for key in self._keys)))
        self.tenants = frozenset(tenants)
        self._shown = frozenset(list(tenants)[:MAX_SHOWN_TENANTS])

    @property
    def warning(self) -> str | None:
        """What whoever set the keys should know."""
        if self.open:
            return "No API key is configured: whoever can reach this port may do everything. Set API_KEYS."
        weak = [key.caller.actor.removeprefix("key:") for key in self._keys if key.weak]
        if weak:
            return f"Keys shorter than {STRONG_LENGTH} characters can be guessed: {', '.join(weak)}"
        return None

    def shown(self, tenant: str, actor: str) -> str:
        """What the tenant of an actor is called in metrics: one of a hundred that have keys, or `other`.

        Empty where no key proves it: a tenant that is only claimed is a stranger's text.
        """
        if actor in {"", NO_KEY}:
            return ""
        return tenant if tenant in self._shown else OTHER_TENANTS

    def caller(self, presented: str) -> Caller:
        """Whose key `presented` is ("" when none was).

        Raises:
            KeyMissing, KeyUnknown: it is nobody's.
        """
        if self.open:
            return ANONYMOUS
        if not presented:
            raise KeyMissing
        digest = _digest(presented)
        found: Caller | None = None
        for key in self._keys:  # all of them, so that the time taken says nothing
            if hmac.compare_digest(key.digest, digest):
                found = key.caller
        if found is None:
            raise KeyUnknown
        return found


ANONYMOUS = Caller(DEFAULT_TENANT, "key:anonymous", INCLUDES[Role.ADMIN])
NO_KEY = "key:none"


# Anyone at all, where the log is open: sees of it what an auditor sees, and nothing else.
PUBLIC_READER = Caller(DEFAULT_TENANT, NO_KEY, frozenset({Role.AUDITOR}))


def without_key(tenant: str) -> Caller:
    """Somebody who proves who they are by other means than a key, to the service that is asked."""
    return Caller(require_token(tenant or DEFAULT_TENANT, "x-tenant"), NO_KEY, frozenset())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _fingerprint(key: str) -> str:
    # The same on every replica and after every restart, and too slow to guess short keys from.
    return hashlib.scrypt(key.encode(), salt=b"provost api key label", n=4096, r=8, p=1, dklen=4).hex()
