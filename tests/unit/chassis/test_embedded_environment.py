"""What each process of an embedded run is told: the secrets it uses, the settings it reads, no more of the caller's."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from chassis.embedded import keys, services
from chassis.embedded.settings import Settings

CALLERS = {
    "AWS_SECRET_ACCESS_KEY": "theirs-aws",
    "GITHUB_TOKEN": "theirs-github",
    "LICENSE_SIGNING_SECRET": "theirs-license",
    "PROVOST_API_KEY": "theirs-command-line",
    "VAULT_TOKEN": "theirs-vault",
    "API_KEYS": "theirs-door",
    "ADMIN_KEYS": "theirs-admin",
    "OPA_ENDPOINT": "http://theirs-opa",
    "PROVOST_INTERNAL_KEY": "theirs-internal",
    "PROVOST_NATS_URL": "nats://theirs:nats@h",
    "PROVOST_STORE_URL": "redis://:theirs-store@h",
    "PROVOST_LEDGER_DATABASE_URL": "postgresql://theirs:pg@h/d",
    "PGPASSWORD": "theirs-pg-password",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=theirs-collector",
}
HARMLESS = {
    "LOG_LEVEL": "DEBUG", "TZ": "UTC", "OTEL_SERVICE_NAME": "x", "HTTPS_PROXY": "http://p", "no_proxy": "h",
    "SSL_CERT_FILE": "/c", "PROVOST_SHUTDOWN_SECONDS": "3", "PYTHONPATH": "/p", "LC_ALL": "C.UTF-8",
}  # fmt: skip
EVERYONES = {"PROVOST_INTERNAL_KEY", "OTEL_EXPORTER_OTLP_HEADERS"}
GIVEN = {
    "ledger": {*EVERYONES, "PROVOST_NATS_URL", "PROVOST_LEDGER_DATABASE_URL", "PGPASSWORD"},
    "state": {*EVERYONES, "PROVOST_NATS_URL", "PROVOST_STORE_URL"},
    "policy": {*EVERYONES, "PROVOST_NATS_URL", "OPA_ENDPOINT"},
    "actuators": {*EVERYONES, "PROVOST_NATS_URL"},
    "agents": EVERYONES,
    "orchestrator": {*EVERYONES, "PROVOST_NATS_URL"},
    "gateway": {*EVERYONES, "PROVOST_NATS_URL", "PROVOST_STORE_URL", "API_KEYS", "ADMIN_KEYS"},
}
"""Which names with a secret behind them each process gets."""


@pytest.fixture
def made(tmp_path: Path) -> keys.Keys:
    return keys.load_or_create(tmp_path / "keys")


def told(made: keys.Keys, vault: Mapping[str, str] | None = None) -> dict[str, dict[str, str]]:
    settings = Settings(_env_file=None)
    programs = services.programs(settings, made, "theirs-door", "theirs-admin", "theirs-witness", vault)
    return {each.name: dict(each.environment) for each in programs}


@pytest.fixture
def environments(made: keys.Keys, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    for name, value in (CALLERS | HARMLESS).items():
        monkeypatch.setenv(name, value)
    return told(made)


def test_each_is_given_the_secrets_it_uses(made: keys.Keys, environments: dict[str, dict[str, str]]) -> None:
    secrets = {made.internal, made.nats, made.store, *made.api.values(), "theirs"}
    assert {
        process: {name for name, value in given.items() if any(secret in value for secret in secrets)}
        for process, given in environments.items()
    } == {**GIVEN, "ledger": {*GIVEN["ledger"], "PROVOST_LEDGER_WITNESSES"}}


def test_each_is_told_that_it_is_alone(environments: dict[str, dict[str, str]]) -> None:
    assert {given["PROVOST_ALONE"] for given in environments.values()} == {"true"}


def test_ours_take_the_place_of_the_callers(made: keys.Keys, environments: dict[str, dict[str, str]]) -> None:
    for process, given in environments.items():
        assert given["PROVOST_INTERNAL_KEY"] == made.internal
        for name, password in (("PROVOST_NATS_URL", made.nats), ("PROVOST_STORE_URL", made.store)):
            assert "theirs" not in given[name]
            assert (password in given[name]) == (name in GIVEN[process])


def test_what_is_harmless_is_passed_on(environments: dict[str, dict[str, str]]) -> None:
    for given in environments.values():
        assert given.items() >= HARMLESS.items()


def test_with_a_vault_none_is_told_a_secret_of_the_run(made: keys.Keys) -> None:
    for process, given in told(made, {"VAULT_URL": "http://127.0.0.1:8200"}).items():
        values = " ".join(given.values())
        assert not [each for each in (made.internal, made.nats, made.store) if each in values], process
        assert given["VAULT_URL"] == "http://127.0.0.1:8200"


def test_the_chart_gives_the_same() -> None:
    chart = Path(services.__file__).parents[2] / "deploy/helm/provost/templates/services.yaml"
    (table,) = re.findall(r"\$settings := dict(.*?)}}", chart.read_text(), re.DOTALL)
    rows = {
        name: set(re.findall(r'"(\w+)"', row)) for name, row in re.findall(r'"(\w+)" \(list([^)]*)\)', table)
    }
    of_the_run = {"PROVOST_INTERNAL_KEY", "OTEL_EXPORTER_OTLP_HEADERS", "PGPASSWORD", "OPA_ENDPOINT"}
    assert rows == {name: given - of_the_run for name, given in GIVEN.items()}
