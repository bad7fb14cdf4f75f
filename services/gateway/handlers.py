"""Who is let in. Both fronts, REST and gRPC, ask here first; the rest is between the caller and the service asked."""

from asyncio import sleep
from dataclasses import dataclass

from kernel.faults import Fault, Unauthenticated
from services.gateway.domain.callers import PUBLIC_READER, Caller, Keyring, without_key
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
                # Whoever shows no key shares what their address may ask for.
                nobody = not caller.roles or caller is PUBLIC_READER
                await self._hold_to_rate(_peer(knock) if nobody else _bucket(caller))
            if right.within:
                raise AskedWithin(knock.method)
            if right.roles and not right.roles & caller.roles:
                raise RoleMissing(str(right), knock.method)
            if right.tenant and right.tenant != caller.tenant:
                raise TenantRefused(right.tenant, knock.method)
        except Fault as fault:
            tenant, actor = (caller.tenant, caller.actor) if caller else ("default", "")
            self.refusals.note(tenant, fault.reason, actor, knock.method, knock.peer)
            raise
        return caller

    def turned_away(self, caller: Caller, reason: str, knock: Knock) -> None:
        """Whoever came with credentials in the request itself had bad ones: the service that was asked said so.

        Written down here, for that service has no agent on whose record it could stand.
        """
        self.refusals.note(caller.tenant, reason, caller.actor, knock.method, knock.peer)

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
            await self._hold_to_rate(_peer(knock))  # keys cannot be tried out at will
            raise

    async def _hold_to_rate(self, bucket: str) -> None:
        wait_seconds = await self.meter.take(bucket)
        if wait_seconds > 0:
            raise RateLimited(wait_seconds)


def _bucket(caller: Caller) -> str:
    return f"{caller.tenant}/{caller.actor.removeprefix('key:')}"


def _peer(knock: Knock) -> str:
    return f"peer/{knock.peer}"
