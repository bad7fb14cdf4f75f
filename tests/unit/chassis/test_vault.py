"""What a process takes from Vault, as far as it can be told without one."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from chassis.config import ServiceSettings
from chassis.process import Stopping
from chassis.vault.entry import AppRole, TokenFile
from chassis.vault.taking import _with, entry_of, taken

LOADED = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.exit(", ".join(sorted({"hvac", "requests"} & set(sys.modules))) or 0)
"""
SERVICES = ("policy", "state", "ledger", "orchestrator", "gateway")


def test_without_a_vault_no_client_of_it_is_loaded() -> None:
    roots = [f"services.{name}.__main__" for name in SERVICES] + ["chassis.embedded.running"]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *roots], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


async def test_without_a_vault_settings_are_what_they_were() -> None:
    settings = ServiceSettings(_env_file=None)
    took = await taken(settings, "policy", Stopping())
    assert took.settings is settings
    assert took.vault is None
    assert took.why() == ""
    assert await took.lent("") is None
    await took.stop()


@pytest.mark.parametrize(
    ("url", "said", "expected"),
    [
        ("redis://h:1/0", {"password": "p@/:"}, "redis://:p%40%2F%3A@h:1/0"),
        ("redis://old:pw@h:1/0", {"username": "u", "password": "p"}, "redis://u:p@h:1/0"),
        ("rediss+cluster://h:1?ssl_ca_certs=F", {"password": "p"}, "rediss+cluster://:p@h:1?ssl_ca_certs=F"),
        ("nats://h:1", {"url": "tls://u:p@other:2", "password": "x"}, "tls://u:p@other:2"),
    ],
)
def test_a_password_goes_into_the_url_that_is_set(url: str, said: dict[str, str], expected: str) -> None:
    assert _with(url, said) == expected


def test_who_logs_in_with_what() -> None:
    settings = ServiceSettings(_env_file=None, home=Path("/h"))
    assert entry_of(settings, "state") == AppRole(
        Path("/h/keys/vault/state.role-id"), Path("/h/keys/vault/state.secret-id")
    )
    told = settings.model_copy(update={"vault_token_file": Path("/run/token")})
    assert entry_of(told, "state") == TokenFile(Path("/run/token"))


@pytest.mark.parametrize("url", ["vault:8200", "https://user:hunter2@vault", "ftp://vault", "http://"])
def test_what_is_no_vault_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(_env_file=None, vault_url=url)
    (problem,) = refused.value.errors(include_url=False)
    assert problem["loc"] == ("VAULT_URL",) or problem["loc"] == ("vault_url",)
    assert "https://HOST:PORT" in problem["msg"]
    assert "hunter2" not in problem["msg"]
