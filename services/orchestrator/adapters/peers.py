"""The peers that the orchestrator asks, each behind its port. A channel connects when it is first used."""

from dataclasses import dataclass

from grpc.aio import Channel

from chassis.config import ServiceSettings
from chassis.process import now
from chassis.rpc import LARGE_MESSAGES, SMALL_MESSAGES
from chassis.rpc.client import channel
from chassis.tls import certificates
from kernel.events import Cause
from services.orchestrator.adapters.actuators import GrpcActuators
from services.orchestrator.adapters.policy import GrpcPolicy, PolicySessions
from services.orchestrator.adapters.state import GrpcState


@dataclass(frozen=True, slots=True)
class Peers:
    """Doors to all of them."""

    policy: GrpcPolicy
    sessions: PolicySessions
    state: GrpcState
    actuators: GrpcActuators


def peers_at(settings: ServiceSettings, actor: str) -> Peers:
    """Doors to what is at the address of each; questions that belong to no run are asked by `actor`."""
    internal_key, own = settings.internal_key.get_secret_value(), certificates.of(settings, "orchestrator")

    def to(service: str, max_message_bytes: int = SMALL_MESSAGES) -> Channel:
        return channel(
            settings.address(service), internal_key=internal_key, max_message_bytes=max_message_bytes,
            service=service, certificates=own, one_replica=service == "state",
        )  # fmt: skip

    to_policy, to_state, to_actuators = to("policy"), to("state", LARGE_MESSAGES), to("actuators")
    return Peers(
        GrpcPolicy(to_policy),
        PolicySessions(to_policy),
        GrpcState(to_state),
        GrpcActuators(to_actuators, Cause("default", "", actor, now())),
    )
