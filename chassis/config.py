"""Settings: the only reader of the environment and of `.env`.

`ServiceSettings` holds what all processes share; each service's `config.py` adds its own. Every setting has a working
default. Field names are ours; the names in the environment are the aliases, and they are what messages speak of.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from chassis import process
from chassis.mistakes import mistakes, unknown_names

Port = int
S = TypeVar("S", bound="ServiceSettings")


def _unhonoured(why: str) -> AfterValidator:
    def refuse(value: object) -> object:
        if value:
            raise ValueError(f"this version cannot honour it ({why}): unset it, or nothing starts")
        return value

    return AfterValidator(refuse)


# Set means: must be honoured. What a version does not do yet is refused, never left out in silence.
LlmEndpoint = Annotated[str, Field(alias="LLM_ENDPOINT"), _unhonoured("it asks no language model")]
RequireLicense = Annotated[bool, Field(alias="REQUIRE_LICENSE"), _unhonoured("it checks no licences")]


def _http_url(value: str) -> str:
    """The message must not show what is in it."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if value and (not known or "@" in parts.netloc):
        raise ValueError("it is to be https://HOST:PORT, without user and password")
    return value


OpaEndpoint = Annotated[str, Field(alias="OPA_ENDPOINT"), AfterValidator(_http_url)]


def _port(name: str, default: int) -> Any:
    return Field(default, alias=name, ge=1, le=65535)


class ServiceSettings(BaseSettings):
    """What every process of Provost can be told."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        case_sensitive=True,
        frozen=True,
        populate_by_name=True,
        validate_default=True,
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field("INFO", alias="LOG_LEVEL")
    log_format: Literal["text", "json", "kv"] = Field("text", alias="LOG_FORMAT")
    enable_tracing: bool = Field(False, alias="ENABLE_TRACING")
    traces_exporter: Literal["", "otlp", "console"] = Field("", alias="OTEL_TRACES_EXPORTER")
    otlp_endpoint: str = Field("", alias="OTEL_EXPORTER_OTLP_ENDPOINT")

    home: Path = Field(Path(".provost"), alias="PROVOST_HOME")
    listen_host: str = Field("127.0.0.1", alias="PROVOST_LISTEN_HOST")
    # That there is one process of each kind. Never guessed: replicas may share a machine, one may listen to the world.
    alone: bool = Field(False, alias="PROVOST_ALONE")
    internal_key: SecretStr = Field(SecretStr(""), alias="PROVOST_INTERNAL_KEY")
    sealing_key: Path = Field(Path("keys/subjects.key"), alias="PROVOST_SEALING_KEY")
    shutdown_seconds: float = Field(10.0, alias="PROVOST_SHUTDOWN_SECONDS", ge=0, le=600)
    clock_offset_seconds: float = Field(0.0, alias="PROVOST_CLOCK_OFFSET_SECONDS")
    metrics_port: int | None = Field(None, alias="PROVOST_METRICS_PORT", ge=0, le=65535)

    # In names of files, `{service}` stands for the service whose they are.
    tls_cert_file: Path | None = Field(None, alias="PROVOST_TLS_CERT_FILE")
    tls_key_file: Path | None = Field(None, alias="PROVOST_TLS_KEY_FILE")
    tls_ca_file: Path | None = Field(None, alias="PROVOST_TLS_CA_FILE")
    gateway_tls_cert_file: Path | None = Field(None, alias="PROVOST_GATEWAY_TLS_CERT_FILE")
    gateway_tls_key_file: Path | None = Field(None, alias="PROVOST_GATEWAY_TLS_KEY_FILE")
    connection_seconds: float | None = Field(None, alias="PROVOST_CONNECTION_SECONDS", ge=0, le=86_400)

    vault_url: str = Field("", alias="VAULT_URL")
    vault_ca_file: Path | None = Field(None, alias="PROVOST_VAULT_CA_FILE")
    vault_token_file: Path | None = Field(None, alias="PROVOST_VAULT_TOKEN_FILE")
    vault_role_id_file: Path = Field(Path("keys/vault/{service}.role-id"), alias="PROVOST_VAULT_ROLE_ID_FILE")
    vault_secret_id_file: Path = Field(
        Path("keys/vault/{service}.secret-id"), alias="PROVOST_VAULT_SECRET_ID_FILE"
    )

    http_port: Port = _port("PROVOST_HTTP_PORT", 5000)
    gateway_port: Port = _port("PROVOST_GATEWAY_PORT", 7000)
    policy_port: Port = _port("PROVOST_POLICY_PORT", 7001)
    state_port: Port = _port("PROVOST_STATE_PORT", 7002)
    ledger_port: Port = _port("PROVOST_LEDGER_PORT", 7003)
    orchestrator_port: Port = _port("PROVOST_ORCHESTRATOR_PORT", 7004)
    actuators_port: Port = _port("PROVOST_ACTUATORS_PORT", 7005)
    witness_port: Port = _port("PROVOST_WITNESS_PORT", 7006)
    nats_port: Port = _port("PROVOST_NATS_PORT", 4222)
    store_port: Port = _port("PROVOST_STORE_PORT", 6379)

    # Where the others are; empty means on this machine, at the port above.
    gateway_address: str = Field("", alias="PROVOST_GATEWAY_ADDRESS")
    policy_address: str = Field("", alias="PROVOST_POLICY_ADDRESS")
    state_address: str = Field("", alias="PROVOST_STATE_ADDRESS")
    ledger_address: str = Field("", alias="PROVOST_LEDGER_ADDRESS")
    orchestrator_address: str = Field("", alias="PROVOST_ORCHESTRATOR_ADDRESS")
    actuators_address: str = Field("", alias="PROVOST_ACTUATORS_ADDRESS")
    nats_url: str = Field("", alias="PROVOST_NATS_URL")
    nats_replicas: int = Field(0, alias="PROVOST_NATS_REPLICAS", ge=0, le=5)
    log_max_bytes: int = Field(0, alias="PROVOST_LOG_MAX_BYTES", ge=0)
    store_url: SecretStr = Field(SecretStr(""), alias="PROVOST_STORE_URL")

    @field_validator("vault_url")
    @classmethod
    def _vault(cls, value: str) -> str:
        return _http_url(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator(
        "gateway_address",
        "policy_address",
        "state_address",
        "ledger_address",
        "orchestrator_address",
        "actuators_address",
    )
    @classmethod
    def _local_address(cls, value: str, info: ValidationInfo) -> str:
        service = (info.field_name or "").removesuffix("_address")
        return value or f"127.0.0.1:{info.data.get(f'{service}_port', 0)}"

    @field_validator("nats_url")
    @classmethod
    def _local_nats(cls, value: str, info: ValidationInfo) -> str:
        return value or f"nats://127.0.0.1:{info.data.get('nats_port', 0)}"

    @field_validator("store_url")
    @classmethod
    def _local_store(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return (
            value
            if value.get_secret_value()
            else SecretStr(f"redis://127.0.0.1:{info.data.get('store_port', 0)}/0")
        )

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [each is not None for each in (self.tls_cert_file, self.tls_key_file, self.tls_ca_file)]
        if any(given) and not all(given):
            raise ValueError(
                "PROVOST_TLS_CERT_FILE, PROVOST_TLS_KEY_FILE and PROVOST_TLS_CA_FILE: set all or none"
            )
        if (self.gateway_tls_cert_file is None) != (self.gateway_tls_key_file is None):
            raise ValueError("PROVOST_GATEWAY_TLS_CERT_FILE and PROVOST_GATEWAY_TLS_KEY_FILE belong together")
        return self

    def gateway_files(self) -> tuple[Path, Path] | None:
        """Certificate and key that the gateway shows to callers; None: it speaks to them in the clear."""
        if self.gateway_tls_cert_file is None or self.gateway_tls_key_file is None:
            return None
        return self.within_home(self.gateway_tls_cert_file), self.within_home(self.gateway_tls_key_file)

    def tls_files(self, service: str) -> tuple[Path, Path, Path] | None:
        """Certificate, key and authority of `service`; None: it speaks no TLS."""
        if self.tls_cert_file is None or self.tls_key_file is None or self.tls_ca_file is None:
            return None
        certificate, key, authority = (
            self.within_home(Path(str(each).format(service=service)))
            for each in (self.tls_cert_file, self.tls_key_file, self.tls_ca_file)
        )
        return certificate, key, authority

    @property
    def connection_age_seconds(self) -> float:
        """How long a server keeps one connection, so that clients find new replicas; 0: for ever."""
        if self.connection_seconds is not None:
            return self.connection_seconds
        return 0.0 if self.alone else 30.0

    def port(self, service: str) -> int:
        """The gRPC port of `service`, as `policy`."""
        return int(getattr(self, f"{service}_port"))

    def address(self, service: str) -> str:
        """Where to find `service` over gRPC."""
        return str(getattr(self, f"{service}_address"))

    def metrics_port_of(self, service: str) -> int:
        """Where `service` offers its metrics over HTTP; 0 means nowhere."""
        return self.port(service) + 2000 if self.metrics_port is None else self.metrics_port

    @property
    def sealing_key_file(self) -> Path:
        """What the keys of subjects are wrapped with; without it, nothing that was sealed can be read."""
        return self.within_home(self.sealing_key)

    def within_home(self, path: Path) -> Path:
        """`path` itself when absolute, else under `PROVOST_HOME`."""
        return self.home / path


def load(settings: type[S], others: Iterable[type[ServiceSettings]] = ()) -> S:
    """The settings of this process, from the environment and `.env`; sets the process's clock offset.

    `others` are those of processes that this one is about to start: they must be in order, too. Every mistake is
    printed, one line each, and the process exits with code 2. A `PROVOST_` name that nothing knows is warned about.
    """
    told: list[str] = []
    loaded = _read(settings, told)
    for other in others:
        _read(other, told)
    for line in dict.fromkeys([*told, *unknown_names(_given_names(settings))]):  # many share a setting
        print(line, file=sys.stderr)  # noqa: T201 - logging is configured by what may not have been read
    if told or loaded is None:
        raise SystemExit(2)
    process.set_clock_offset(loaded.clock_offset_seconds)
    return loaded


def _read(settings: type[S], told: list[str]) -> S | None:
    try:
        return settings()
    except (ValidationError, SettingsError, UnicodeDecodeError, OSError) as error:
        told.extend(mistakes(error))
        return None


def _given_names(settings: type[ServiceSettings]) -> Iterator[str]:
    yield from os.environ
    file = settings.model_config.get("env_file")
    if isinstance(file, str) and Path(file).is_file():
        from dotenv import dotenv_values

        with contextlib.suppress(UnicodeDecodeError, OSError):  # told already, as a mistake
            yield from dotenv_values(file)
