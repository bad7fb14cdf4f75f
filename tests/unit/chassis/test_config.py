"""Settings: every mistake at once, misspelt names noticed, defaults that work."""

import os
import re
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from chassis import config, process
from chassis.config import ServiceSettings
from chassis.mistakes import KNOWN_NAMES
from services.ledger.config import LedgerSettings


class Wide(ServiceSettings):
    """Settings of some service."""

    crew_size: int = Field(8, alias="PROVOST_CREW_SIZE", ge=1, le=64)
    license_secret: SecretStr = Field(SecretStr(""), alias="LICENSE_SIGNING_SECRET", min_length=8)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory, and none of our names in the environment."""
    for name in list(os.environ):
        if name.startswith("PROVOST_") or name in {"LOG_LEVEL", "LOG_FORMAT", "ENABLE_TRACING"}:
            monkeypatch.delenv(name)
    monkeypatch.setattr(process, "set_clock_offset", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_set_everything_works() -> None:
    settings = config.load(ServiceSettings)
    assert settings.address("policy") == "127.0.0.1:7001"
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.store_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (settings.port("gateway"), settings.metrics_port_of("gateway")) == (7000, 9000)
    assert (settings.log_level, settings.log_format, settings.enable_tracing) == ("INFO", "text", False)


def test_addresses_follow_ports_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVOST_POLICY_PORT", "17001")
    monkeypatch.setenv("PROVOST_STATE_PORT", "17002")
    monkeypatch.setenv("PROVOST_STATE_ADDRESS", "state:7002")
    monkeypatch.setenv("PROVOST_NATS_PORT", "14222")
    monkeypatch.setenv("PROVOST_METRICS_PORT", "0")
    settings = config.load(ServiceSettings)
    assert (settings.address("policy"), settings.address("state")) == ("127.0.0.1:17001", "state:7002")
    assert settings.nats_url == "nats://127.0.0.1:14222"
    assert settings.metrics_port_of("policy") == 0


def test_dotenv_is_read_and_the_environment_wins(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / ".env").write_text("LOG_LEVEL=debug\nPROVOST_HTTP_PORT=5001\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("PROVOST_HTTP_PORT", "5002")
    settings = config.load(ServiceSettings)
    assert (settings.log_level, settings.http_port) == ("DEBUG", 5002)


def test_every_mistake_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")
    monkeypatch.setenv("PROVOST_CREW_SIZE", "0")
    monkeypatch.setenv("PROVOST_HTTP_PORT", "http")
    monkeypatch.setenv("LICENSE_SIGNING_SECRET", "hunter2")
    with pytest.raises(SystemExit) as ended:
        config.load(Wide)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    told = {line.partition(" ")[0].rstrip(":"): line for line in said}
    assert "'text', 'json' or 'kv'" in told["LOG_FORMAT"]
    assert "'xml'" in told["LOG_FORMAT"]
    assert "greater than or equal to 1" in told["PROVOST_CREW_SIZE"]
    assert "valid integer" in told["PROVOST_HTTP_PORT"]
    assert "LICENSE_SIGNING_SECRET" in told
    assert "hunter2" not in "".join(said)


def test_what_is_wrong_with_settings_together_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVOST_INTERNAL_KEY", "it-opens-every-service")
    monkeypatch.setenv("PROVOST_TLS_CERT_FILE", "/x/cert.pem")
    with pytest.raises(SystemExit):
        config.load(ServiceSettings)
    assert capsys.readouterr().err.splitlines() == [
        "PROVOST_TLS_CERT_FILE, PROVOST_TLS_KEY_FILE and PROVOST_TLS_CA_FILE: set all or none"
    ]


def test_a_witness_that_is_none_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVOST_LEDGER_WITNESSES", "https://user:hunter2@w.example vkey")
    with pytest.raises(SystemExit):
        config.load(LedgerSettings)
    said = capsys.readouterr().err
    assert "PROVOST_LEDGER_WITNESSES: a witness's address holds no user" in said
    assert "hunter2" not in said


def test_misspelt_names_are_warned_about(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVOST_POLCY_PORT", "7")
    (bare / ".env").write_text("PROVOST_XYZZY_QUUX=1\n")
    assert config.load(ServiceSettings).policy_port == 7001
    assert capsys.readouterr().err.splitlines() == [
        "PROVOST_POLCY_PORT is not a setting: did you mean PROVOST_POLICY_PORT?",
        "PROVOST_XYZZY_QUUX is not a setting and has no effect",
    ]


def test_an_unreadable_dotenv_is_told(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / ".env").write_bytes(b"LOG_LEVEL=\xff\xfe\n")
    with pytest.raises(SystemExit) as ended:
        config.load(ServiceSettings)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("settings: ")


def test_the_clock_offset_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[float] = []
    monkeypatch.setattr(process, "set_clock_offset", set_to.append)
    monkeypatch.setenv("PROVOST_CLOCK_OFFSET_SECONDS", "-600")
    config.load(ServiceSettings)
    assert set_to == [-600.0]


def test_secrets_do_not_show() -> None:
    shown = repr(
        ServiceSettings(
            _env_file=None, PROVOST_INTERNAL_KEY="hunter2", PROVOST_STORE_URL="redis://:hunter2@x/0"
        )
    )
    assert "hunter2" not in shown


def test_all_settings_of_all_processes_are_known() -> None:
    """KNOWN_NAMES is what misspelt names are held against: each settings class must be in it."""
    import importlib

    root = Path(config.__file__).parent.parent
    for path in sorted(root.glob("services/**/config.py")):
        importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))

    def family(cls: type[ServiceSettings]) -> set[type[ServiceSettings]]:
        return {cls}.union(*(family(each) for each in cls.__subclasses__()))

    declared = {field.alias or "" for cls in family(ServiceSettings) for field in cls.model_fields.values()}
    ours = {name for name in declared if name.startswith("PROVOST_")}
    assert ours <= KNOWN_NAMES, f"add to chassis.mistakes.KNOWN_NAMES: {sorted(ours - KNOWN_NAMES)}"


def test_the_example_names_every_setting_and_no_other() -> None:
    example = (Path(config.__file__).parent.parent / ".env.example").read_text()
    names = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    assert {name for name in names if name.startswith("PROVOST_")} | {
        "PROVOST_CLOCK_OFFSET_SECONDS"
    } == KNOWN_NAMES
