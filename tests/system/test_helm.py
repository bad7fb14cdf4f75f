"""The Helm chart: it lints, renders whole under every switch, and Kubernetes knows each field of it."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chassis.embedded.services import MODULES
from chassis.mistakes import KNOWN_NAMES
from tests.system.helm.chart import CHART, COMPONENT, EVERYTHING, rendered, templated
from tests.unit.house.skeleton import REPOSITORY

pytestmark = pytest.mark.system

MONITORED = "monitoring.podMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.labels.release=prom"
LAG = (
    "lag[0].deployment=reader,lag[0].stream=EVENTS,lag[0].consumer=theirs,lag[0].threshold=1000,lag[0].max=5"
)
PACKAGES = REPOSITORY / ".venv-system"
COMPOSE = REPOSITORY / "deploy/compose.yaml"
VAULT_POLICIES = REPOSITORY / "deploy/vault/policies/services"
KEPT = {
    "internal": "PROVOST_INTERNAL_KEY",
    "nats": "PROVOST_NATS_URL",
    "dragonfly": "PROVOST_STORE_URL",
}
"""What Vault has in `secret/data/services/`, by the names it has in the chart's Secret."""
ELSEWHERE = {"keda.sh/v1alpha1", "cert-manager.io/v1", "monitoring.coreos.com/v1"}
"""Kinds that come with KEDA, cert-manager and Prometheus' operator: Kubernetes itself has no schema of them."""


@pytest.mark.parametrize("sets", [(), (EVERYTHING, MONITORED), (EVERYTHING, "autoscaling.keda=true")])
def test_what_the_chart_renders_is_known_to_kubernetes(
    helm: str, sets: tuple[str, ...], tmp_path: Path
) -> None:
    objects = rendered(helm, *sets)
    ours = [each for each in objects if each["apiVersion"] not in ELSEWHERE]
    file = tmp_path / "objects.json"
    file.write_text("\n---\n".join(json.dumps(each) for each in ours))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") == len(ours), done.stdout
    kinds = {each["kind"] for each in objects}
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"} <= kinds
    assert ("ScaledObject" in kinds) is ("autoscaling.keda=true" in sets)
    assert ("HorizontalPodAutoscaler" in kinds) is ("autoscaling.keda=true" not in sets)
    assert ({"PodMonitor", "PrometheusRule"} <= kinds) is (MONITORED in sets)


def test_the_chart_lints(helm: str) -> None:
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_settings_of_a_file_come_as_they_stand_there(helm: str, tmp_path: Path) -> None:
    given = {
        "PROVOST_LOG_MAX_BYTES": (107_374_182_400, "107374182400"),
        "TARGET_REASONING_SCORE": (0.75, "0.75"),
        "ENABLE_REFLECTION": (False, "false"),
        "LOG_LEVEL": ('a "b"', 'a "b"'),
    }
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps({"settings": {name: value for name, (value, _) in given.items()}}))
    (settings,) = (
        each["data"]
        for each in rendered(helm, values=file)
        if each["kind"] == "ConfigMap" and "PROVOST_HOME" in each["data"]
    )
    assert {name: settings[name] for name in given} == {name: told for name, (_, told) in given.items()}


def test_each_process_has_a_deployment_that_may_do_nothing_it_need_not(helm: str) -> None:
    deployments = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]["spec"]
        for each in rendered(helm, EVERYTHING)
        if each["kind"] == "Deployment"
    }
    assert set(deployments) == set(MODULES)
    for name, pod in deployments.items():
        (container,) = pod["containers"]
        assert container["command"] == ["python", "-m", MODULES[name]]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsNonRoot"]


def test_each_process_is_given_the_secrets_and_addresses_that_the_compose_cluster_gives_it(helm: str) -> None:
    objects, compose = rendered(helm, EVERYTHING), YAML(typ="safe").load(COMPOSE)["services"]
    (settings,) = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    pods = {
        each["metadata"]["labels"][COMPONENT]: each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] == "Deployment"
    }
    for name, pod in pods.items():
        theirs, (container,) = compose[name], pod["containers"]
        files = {
            item["key"]
            for volume in pod["volumes"]
            if volume.get("secret", {}).get("secretName") == "provost"
            for item in volume["secret"]["items"]
        }
        sealing = {"subjects.key"} if "subjects_key" in theirs.get("secrets", ()) else set()
        assert files == sealing | ({"policy.pem"} if name == "policy" else set()), name
        copied = re.findall(r"/given/(\S+)", json.dumps(pod.get("initContainers", ())))
        assert {each for each in copied if "." in each} == files, name

        secret = {each["name"] for each in container["env"] if "valueFrom" in each}
        may_read = re.findall(r'"secret/data/services/(\w+)"', (VAULT_POLICIES / f"{name}.hcl").read_text())
        expected = {KEPT[each] for each in may_read}
        expected |= {"PROVOST_LEDGER_DATABASE_URL"} & set(theirs["environment"])
        expected |= {"API_KEYS", "ADMIN_KEYS"} if "env_file" in theirs else set()
        assert secret == expected, name

        addresses = where({*settings, *(each["name"] for each in container["env"])})
        # Compose says where the store is to everyone, without its password; in the chart that is one URL.
        assert where(theirs["environment"]) - addresses <= {"PROVOST_STORE_URL"}, name
        assert addresses <= where(theirs["environment"]), name
    sealing_in_compose = {name for name in pods if "subjects_key" in compose[name].get("secrets", ())}
    assert sealing_in_compose == {"policy", "state", "ledger", "orchestrator"}


def where(names: Iterable[str]) -> set[str]:
    """Those of the settings that say where something is."""
    return {each for each in names if each.endswith(("_ADDRESS", "_ENDPOINT", "_URL"))}


@pytest.mark.parametrize("one", ["agents", "actuators"])
def test_of_agents_and_actuators_there_is_one_at_any_moment(helm: str, one: str) -> None:
    for mistake in (f"services.{one}.replicas=2", f"services.{one}.autoscaling.enabled=true"):
        done = templated(helm, mistake)
        assert done.returncode != 0, mistake
        assert mistake.partition("=")[0] in done.stderr
    for sets in ((), ("autoscaling.keda=true",)):
        objects = rendered(helm, *sets)
        spec = deployment(objects, one)
        assert spec["replicas"] == 1
        assert spec["strategy"] == {"type": "Recreate"}, "the old one ends before the new one begins"
        scaled = {
            each["spec"]["scaleTargetRef"]["name"]
            for each in objects
            if "scaleTargetRef" in each.get("spec", ())
        }
        assert scaled
        assert f"x-{one}" not in scaled


def test_more_replicas_than_autoscaling_may_make_are_refused_in_words(helm: str) -> None:
    done = templated(helm, "services.policy.replicas=9")
    assert done.returncode != 0
    assert "services.policy.replicas is 9, services.policy.autoscaling.max is 8" in done.stderr
    for scaled in (each for each in rendered(helm) if each["kind"] == "HorizontalPodAutoscaler"):
        assert 1 <= scaled["spec"]["minReplicas"] <= scaled["spec"]["maxReplicas"]
    by_hand = rendered(helm, "services.policy.replicas=9", "services.policy.autoscaling.enabled=false")
    assert deployment(by_hand, "policy")["replicas"] == 9
    left_over = ("services.agents.autoscaling.enabled=false", "services.agents.autoscaling.max=4")
    assert deployment(rendered(helm, *left_over), "agents")["replicas"] == 1, "as --reuse-values brings them"


def deployment(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (spec,) = [
        each["spec"]
        for each in objects
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", f"x-{name}")
    ]
    return dict(spec)


def test_settings_in_the_chart_are_settings(helm: str) -> None:
    (settings,) = [each["data"] for each in rendered(helm, EVERYTHING) if each["kind"] == "ConfigMap"]
    ours = {name for name in settings if name.startswith("PROVOST_")}
    assert ours <= KNOWN_NAMES
    assert settings["PROVOST_POLICY_ADDRESS"] == "dns:///x-policy:7001"
    assert settings["PROVOST_NATS_REPLICAS"] == "3"
    assert settings["PROVOST_PUBLIC_EVENTS"] == "false"


def test_the_alert_rules_are_those_of_prometheus_and_know_services_by_the_names_they_are_given(
    helm: str,
) -> None:
    rules = REPOSITORY / "deploy/prometheus/alerts.yml"
    objects = rendered(helm, MONITORED)
    (rule,) = [each for each in objects if each["kind"] == "PrometheusRule"]
    assert rule["spec"] == YAML(typ="safe").load(rules)
    (monitor,) = [each for each in objects if each["kind"] == "PodMonitor"]
    assert {each["metadata"]["labels"]["release"] for each in (rule, monitor)} == {"prom"}
    pods = [each["spec"]["template"] for each in objects if each["kind"] == "Deployment"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    read = {
        pod["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        for pod in pods
        if monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        and endpoint["port"]
        in {each["name"] for one in pod["spec"]["containers"] for each in one.get("ports", ())}
    }
    (jobs,) = set(re.findall(r'up\{job=~"(.+?)"\}', rules.read_text("utf-8")))
    assert read == set(jobs.split("|"))


def test_the_chart_as_it_is_handed_out_has_the_rules_in_it(helm: str, tmp_path: Path) -> None:
    subprocess.run([helm, "package", str(CHART), "-d", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as found:
        rules = found.extractfile("provost/rules/alerts.yml")
        assert rules is not None
        assert rules.read() == (REPOSITORY / "deploy/prometheus/alerts.yml").read_bytes()


def test_a_subscriber_of_yours_is_scaled_on_what_its_consumer_has_still_to_read(helm: str) -> None:
    (scaled,) = [each for each in rendered(helm, LAG) if each["kind"] == "ScaledObject"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"] == {
        "scaleTargetRef": {"name": "reader"},
        "minReplicaCount": 1,
        "maxReplicaCount": 5,
        "triggers": [
            {
                "type": "nats-jetstream",
                "metadata": {
                    "natsServerMonitoringEndpoint": "nats.nats.svc:8222",
                    "account": "$G",
                    "stream": "EVENTS",
                    "consumer": "theirs",
                    "lagThreshold": "1000",
                },
            }
        ],
    }


def test_a_value_that_does_not_exist_is_refused(helm: str) -> None:
    done = templated(helm, "tls.enable=true")
    assert done.returncode != 0
    assert "enable" in done.stderr
