"""Which process may call what of which other, and in whose name, known by the certificate it shows. What is not named
here is refused.

Tests hold this against the calls that the processes really make. Health and reflection are open to everyone who shows
a certificate of the authority.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from chassis import process, telemetry
from chassis.rpc.cause import ACTOR, ROLES, TENANT, Metadata, read_metadata
from chassis.tls.certificates import SPIFFE
from kernel.faults import Denied

Methods = frozenset[str]
ALL: Methods = frozenset({"*"})
POLICY, STATE = "provost.policy.v1.PolicyService", "provost.state.v1.StateService"
LEDGER, ORCHESTRATOR = "provost.ledger.v1.LedgerService", "provost.orchestrator.v1.OrchestratorService"
ACTUATORS = "provost.orchestrator.v1.ActuatorService"

MAY_CALL: Mapping[str, Mapping[str, Methods]] = {
    # It passes on whatever it has let in, in the caller's name.
    "gateway": {POLICY: ALL, STATE: ALL, LEDGER: ALL, ORCHESTRATOR: ALL},
    "orchestrator": {
        POLICY: frozenset(
            {
                "BatchAuthorize",
                "GetAgent",
                "GetApproval",
                "ListSigningKeys",
                "RequestApproval",
                "RevokeAgent",
                "SettleReservation",
            }
        ),
        STATE: frozenset(
            {
                "AcquireLock",
                "Advance",
                "GetAgentState",
                "GetArtifact",
                "Heartbeat",
                "IssuePacket",
                "ListArtifacts",
                "ListPackets",
                "PutArtifact",
                "RecordError",
                "ReleaseLock",
                "ReportActivity",
                "WriteHandoff",
            }
        ),
        ACTUATORS: frozenset({"ListActuators", "PerformAction", "PreviewActions"}),
    },
    "actuators": {POLICY: frozenset({"ListSigningKeys"})},
    "agents": {
        POLICY: frozenset({"CreateSecret", "CreateSession", "RegisterAgent"}),
        ORCHESTRATOR: frozenset({"AttachAgent"}),
    },
}
OWN_NAME: Mapping[str, str] = {"agents": "default", "actuators": "default"}
"""Who asks in its own name alone, as `service:<itself>` with the role `service`, and for which tenant.

The others pass on who asked them (the gateway a key and its roles, the orchestrator whoever began a run): their word
for it is taken.
"""
TELL_SECONDS = 10.0
_log = telemetry.get_logger("chassis.rpc")


class Callers:
    """Decides for one server, by `table`: for each caller, methods by service; and by `own_name`."""

    def __init__(
        self,
        table: Mapping[str, Mapping[str, Methods]] = MAY_CALL,
        own_name: Mapping[str, str] = OWN_NAME,
    ) -> None:
        self._table = table
        self._own_name = own_name
        self._told: dict[tuple[str, str], float] = {}
        self._may = lru_cache(maxsize=4096)(self._looked_up)

    def check(self, method: str, context: Any) -> None:
        """Return when whoever is at the other end may call `method` (`/service/Method`) in the name it gives.

        Raises:
            Denied (`CALLER_NOT_ALLOWED`)
        """
        # What the certificate of this very connection says: gRPC keeps it, so asking costs a third of a microsecond.
        shown = tuple(context.peer_identities() or ())
        must_say = self._may(shown, method)
        if must_say is None:
            self._refuse(_service(shown), method, self._who_may(_service(shown), method))
        elif must_say:
            said = read_metadata(context)
            for key, value in must_say:
                if said.get(key, "") != value:
                    text = f"{_service(shown)} may ask in its own name alone: {key} must be {value}"
                    self._refuse(_service(shown), method, text)

    def _looked_up(self, shown: tuple[bytes, ...], method: str) -> Metadata | None:
        """What a call must say of who asks, often nothing; None: nobody who shows this may call `method`."""
        caller = _service(shown)
        service, _, name = method.lstrip("/").partition("/")
        allowed = self._table.get(caller, {}).get(service, frozenset())
        if allowed is not ALL and name not in allowed:
            return None
        tenant = self._own_name.get(caller)
        if tenant is None:
            return ()
        return (ACTOR, f"service:{caller}"), (ROLES, "service"), (TENANT, tenant)

    def _who_may(self, caller: str, method: str) -> str:
        service, _, name = method.lstrip("/").partition("/")
        who = sorted(
            each
            for each, may in self._table.items()
            if may.get(service) is ALL or name in may.get(service, ())
        )
        named = caller or "whoever shows a certificate without a service's name"
        return f"{named} may not call {service}/{name}; {' and '.join(who) or 'nobody'} may"

    def _refuse(self, caller: str, method: str, text: str) -> NoReturn:
        at, asked = process.monotonic(), (caller, method)
        if at - self._told.get(asked, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[asked] = at
            _log.warning("call refused", reason="CALLER_NOT_ALLOWED", caller=caller, method=method, why=text)
        raise Denied("CALLER_NOT_ALLOWED", text, caller=caller, method=method)


def _service(shown: tuple[bytes, ...]) -> str:
    """The service that these names of a certificate say; empty when they say none, or several."""
    prefix = SPIFFE.encode()
    found = [each for each in shown if each.startswith(prefix)]
    return found[0].removeprefix(prefix).decode("ascii", "replace") if len(found) == 1 else ""
