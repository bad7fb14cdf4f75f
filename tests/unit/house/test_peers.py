"""`chassis.rpc.peers` allows just the calls that the processes really make, and names only methods that there are."""

import re

from chassis.rpc.peers import ACTUATORS, ALL, LEDGER, MAY_CALL, ORCHESTRATOR, OWN_NAME, POLICY, STATE
from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import actuator_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from tests.unit.house.skeleton import REPOSITORY

THERE = {
    service.full_name: {method.name for method in service.methods}
    for module in (policy_pb2, state_pb2, ledger_pb2, orchestrator_pb2, actuator_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
# Where the calls of each are made. A stub is a field, or an argument, of the name of its service.
CALLERS = {
    "orchestrator": "services/orchestrator/adapters",
    "actuators": "services/orchestrator/actuators",
    "agents": "services/orchestrator/agents",
}
STUBS = {
    "policy": POLICY,
    "state": STATE,
    "ledger": LEDGER,
    "orchestrator": ORCHESTRATOR,
    "actuators": ACTUATORS,
}


def called(folder: str) -> set[tuple[str, str]]:
    """Service and method of every call that is made through a stub."""
    found = set()
    for path in (REPOSITORY / folder).rglob("*.py"):
        for stub, method in re.findall(rf"\b_?({'|'.join(STUBS)})\.([A-Z]\w+)", path.read_text()):
            if method in THERE[STUBS[stub]]:
                found.add((STUBS[stub], method))
    return found


def test_what_may_be_called_is_what_is_called() -> None:
    for caller, folder in CALLERS.items():
        allowed = {(service, method) for service, methods in MAY_CALL[caller].items() for method in methods}
        assert called(folder) == allowed, f"{caller}: change chassis/rpc/peers.py with its calls"


def test_every_method_that_is_named_is_there() -> None:
    for may in MAY_CALL.values():
        for service, methods in may.items():
            assert service in THERE
            assert methods is ALL or methods <= THERE[service]


def test_nobody_calls_the_actuators_but_the_orchestrator_and_nobody_calls_the_ledger_but_the_gateway() -> (
    None
):
    assert {caller for caller, may in MAY_CALL.items() if ACTUATORS in may} == {"orchestrator"}
    assert {caller for caller, may in MAY_CALL.items() if LEDGER in may} == {"gateway"}


def test_who_passes_on_nobodys_name_asks_in_its_own() -> None:
    assert set(MAY_CALL) - set(OWN_NAME) == {"gateway", "orchestrator"}
    for caller, tenant in OWN_NAME.items():
        source = "".join(path.read_text() for path in (REPOSITORY / CALLERS[caller]).rglob("*.py"))
        assert set(re.findall(r'"service:(\w+)"', source)) == {caller}
        assert f'"{tenant}"' in source
