"""The Helm chart's network: who may reach whom and at which port, by which certificate, and how each is probed."""

from typing import Any

import pytest

from chassis.embedded.services import MODULES
from chassis.healthy import PORTS
from chassis.rpc.peers import ACTUATORS, LEDGER, MAY_CALL, ORCHESTRATOR, POLICY, STATE
from services.gateway.adapters.probe import METRICS_PORT_OFFSET
from services.gateway.config import GatewaySettings
from tests.system.helm.chart import COMPONENT, EVERYTHING, rendered

pytestmark = pytest.mark.system

SERVICES = {
    "policy": POLICY,
    "state": STATE,
    "ledger": LEDGER,
    "orchestrator": ORCHESTRATOR,
    "actuators": ACTUATORS,
}


@pytest.mark.parametrize(
    ("opa", "asked", "telemetry", "told", "traces"),
    [
        ("http://opa.example", 80, "http://otel", "http://otel:4317", 4317),
        ("https://opa.example/sub/", 443, "http://otel:4000/", "http://otel:4000/", 4000),
        ("http://opa:8181/", 8181, "https://otel.example", "https://otel.example", 443),
        ("http://[fd00::81]", 80, "http://[fd00::81]/", "http://[fd00::81]:4317/", 4317),
        ("https://[fd00::81]:8443", 8443, "otel.example:4317", "otel.example:4317", 4317),
    ],
)
def test_the_network_lets_through_to_the_ports_that_opa_and_telemetry_are_asked_at(
    helm: str, opa: str, asked: int, telemetry: str, told: str, traces: int
) -> None:
    objects = rendered(helm, f"opa.endpoint={opa}", f"telemetry.endpoint={telemetry}")
    (settings,) = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == told
    for each in objects:
        if each["kind"] != "NetworkPolicy":
            continue
        own = each["spec"]["podSelector"]["matchLabels"][COMPONENT]
        open_to_all = [rule["ports"][0]["port"] for rule in each["spec"]["egress"] if "to" not in rule]
        assert (asked in open_to_all) is (own == "policy")
        assert traces in open_to_all
        assert 0 not in open_to_all


def test_whoever_speaks_tls_is_not_probed_in_the_clear(helm: str) -> None:
    for sets, asked in (
        ((), {"agents"}),
        (("tls.gatewaySecretName=front",), {"agents", "gateway"}),
        ((EVERYTHING,), set(MODULES)),
    ):
        pods = [each for each in rendered(helm, *sets) if each["kind"] == "Deployment"]
        by_process = {
            each["name"]
            for pod in pods
            for each in pod["spec"]["template"]["spec"]["containers"]
            if each["readinessProbe"].get("exec")
            == {"command": ["python", "-m", "chassis.healthy", each["name"]]}
        }
        assert by_process == asked
    (settings,) = [each["data"] for each in rendered(helm) if each["kind"] == "ConfigMap"]
    assert settings["PROVOST_AGENTS_PORT"] == str(PORTS["agents"]), "where python -m chassis.healthy asks"


def test_each_certificate_is_good_for_the_bare_name_that_callers_expect(helm: str) -> None:
    certificates = {
        each["metadata"]["name"]: each["spec"]
        for each in rendered(helm, EVERYTHING)
        if each["kind"] == "Certificate"
    }
    assert set(certificates) == {f"x-{name}" for name in MODULES}
    for name in MODULES:
        spec = certificates[f"x-{name}"]
        assert spec["dnsNames"] == [name, f"x-{name}", f"x-{name}.ops.svc"]
        assert spec["uris"] == [f"spiffe://provost/{name}"]
        assert spec["secretName"] == f"provost-tls-{name}"


def test_the_network_lets_through_just_the_calls_that_certificates_allow(helm: str) -> None:
    allowed = {
        (caller, name)
        for caller, may in MAY_CALL.items()
        for name, service in SERVICES.items()
        if service in may
    }
    # Health is open to every certificate, and the gateway tells it of all whose address it has.
    allowed |= {("gateway", name) for name in GatewaySettings().addresses()}
    inwards: set[tuple[str, str]] = set()
    outwards: set[tuple[str, str]] = set()
    for each in rendered(helm, EVERYTHING):
        if each["kind"] != "NetworkPolicy":
            continue
        own = each["spec"]["podSelector"]["matchLabels"][COMPONENT]
        inwards |= {(peer, own) for rule in each["spec"].get("ingress", ()) for peer in peers(rule, "from")}
        outwards |= {(own, peer) for rule in each["spec"]["egress"] for peer in peers(rule, "to")}
    assert inwards == allowed
    assert outwards == allowed


def test_the_gateway_reads_the_metrics_it_tells_lag_from_whoever_else_may(helm: str) -> None:
    monitoring = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring"
    policies = {
        each["spec"]["podSelector"]["matchLabels"][COMPONENT]: each["spec"]
        for each in rendered(helm, monitoring)
        if each["kind"] == "NetworkPolicy"
    }
    for name in GatewaySettings().addresses():
        (metrics,) = [each for each in policies[name]["ingress"] if each["ports"] == [{"port": "metrics"}]]
        others, gateway = metrics["from"]
        assert others == {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
        assert gateway["podSelector"]["matchLabels"][COMPONENT] == "gateway"
        (out,) = [each for each in policies["gateway"]["egress"] if peers(each, "to") == {name}]
        rpc, read = (each["port"] for each in out["ports"])
        assert (rpc, read) == (PORTS[name], PORTS[name] + METRICS_PORT_OFFSET)


def peers(rule: dict[str, Any], side: str) -> set[str]:
    """The processes of ours that a rule of a NetworkPolicy names."""
    return {peer["podSelector"]["matchLabels"][COMPONENT] for peer in rule.get(side, ())}
