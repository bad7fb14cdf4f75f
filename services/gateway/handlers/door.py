"""Who is let in. Both fronts, REST and gRPC, ask here first; the rest is between the caller and the service asked."""

from asyncio import sleep
from dataclasses import dataclass
from hashlib import sha256

from kernel.faults import Fault, Unauthenticated
from services.gateway.domain.callers import DEFAULT_TENANT, PUBLIC_READER, Caller, Keyring, without_key
from services.gateway.domain.faults import AskedWithin, OriginRefused, RateLimited, RoleMissing, TenantRefused
from services.gateway.domain.records import Status
from services.gateway.domain.rights import Right
from services.gateway.ports import (
    LedgerDoor,
    Meter,
    OrchestratorDoor,
    PolicyDoor,
    Probe,
    Refusals,
    RulesDoor,
    StateDoor,
)

BEARERS_AT_AN_ADDRESS = 10
"""How many times the rate of one key all agents at one address have, who show a session or a secret instead."""


@dataclass(frozen=True, slots=True)
class Knock:
    """A request at the door. `method` is its row in the table of rights; `tenant` counts where no key is asked for.

    `from_elsewhere` says that a page of another site makes it, in the name of whoever looks at that page.
    """

    key: str
    method: str
    peer: str
    tenant: str = ""
    from_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Gateway:
    """The door, and the doors behind it."""

    keyring: Keyring
    meter: Meter
    refusals: Refusals
    probe: Probe
    orchestrator: OrchestratorDoor
    policy: PolicyDoor
    ledger: LedgerDoor
    state: StateDoor
    rules: RulesDoor
    public_log: bool = False
    """Whether anyone may read the log's tiles and entries, which are every tenant's."""

    async def admit(self, knock: Knock, right: Right) -> Caller:
        """On whose behalf the request is made.

        Raises:
            KeyMissing, KeyUnknown, OriginRefused, AskedWithin, RoleMissing, TenantRefused, RateLimited: turned away,
                which is written down.
        """
        caller: Caller | None = None
        try:
            caller = await self._known(knock, right)
            if right.metered:
                await self._count(caller, knock)
            if right.within:
                raise AskedWithin(knock.method)
            if right.roles and not right.roles & caller.roles:
                raise RoleMissing(str(right), knock.method)
            if right.tenant and right.tenant != caller.tenant:
                raise TenantRefused(right.tenant, knock.method)
        except Fault as fault:
            self._note(caller, fault.reason, knock)
            raise
        return caller

    async def admit_bearer(self, caller: Caller, role: str, knock: Knock) -> None:
        """Count one more attempt to show that somebody has the role `role`, from one address.

        Raises:
            RateLimited: turned away, which is written down.
        """
        try:
            digest = sha256(f"{caller.tenant}/{role}".encode()).hexdigest()[
                :32
            ]  # a stranger's text, of any length
            await self._hold_to_rate(f"bearer/{knock.peer}/{digest}")
        except Fault as fault:
            self._note(caller, fault.reason, knock)
            raise

    def turned_away(self, caller: Caller, reason: str, knock: Knock) -> None:
        """Whoever came with credentials in the request itself had bad ones: the service that was asked said so.

        Written down here, for that service has no agent on whose record it could stand.
        """
        self._note(caller, reason, knock)

    async def pace(self, caller: Caller) -> None:
        """Wait until `caller` may send one more request on a stream that is open: each counts as a call would."""
        wait_seconds = await self.meter.take(_bucket(caller))
        while wait_seconds > 0:
            await sleep(wait_seconds)
            wait_seconds = await self.meter.take(_bucket(caller))

    def tenant_shown(self, caller: Caller) -> str:
        """What the caller's tenant is called in metrics; empty without a key."""
        return self.keyring.shown(caller.tenant, caller.actor)

    async def status(self) -> Status:
        return await self.probe.status()

    async def _known(self, knock: Knock, right: Right) -> Caller:
        if not right.roles and not (right.metered and knock.key):
            return without_key(knock.tenant)
        if right.openable and self.public_log and not knock.key:
            return PUBLIC_READER
        if self.keyring.open and knock.from_elsewhere:
            raise OriginRefused
        try:
            return self.keyring.caller(knock.key)
        except Unauthenticated:
            await self._hold_to_rate(f"wrong/{knock.peer}")  # keys cannot be tried out at will
            raise

    async def _count(self, caller: Caller, knock: Knock) -> None:
        """Whoever shows no key shares what their address may ask for: agents much, for many may share one."""
        if caller is PUBLIC_READER:
            await self._hold_to_rate(f"peer/{knock.peer}")
        elif caller.roles:
            await self._hold_to_rate(_bucket(caller))
        else:
            await self._hold_to_rate(f"bearer/{knock.peer}", BEARERS_AT_AN_ADDRESS)

    def _note(self, caller: Caller | None, reason: str, knock: Knock) -> None:
        tenant, actor = (caller.tenant, caller.actor) if caller else (DEFAULT_TENANT, "")
        if tenant not in self.keyring.tenants:
            tenant = (
                DEFAULT_TENANT  # only claimed: no stranger begins the log of a tenant that there is none of
            )
        self.refusals.note(tenant, reason, actor, knock.method, knock.peer)

    async def _hold_to_rate(self, bucket: str, times: int = 1) -> None:
        wait_seconds = await self.meter.take(bucket, times)
        if wait_seconds > 0:
            raise RateLimited(wait_seconds)


def _bucket(caller: Caller) -> str:
    return f"{caller.tenant}/{caller.actor.removeprefix('key:')}"
