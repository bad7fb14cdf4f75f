"""What can be set for all of Provost on one machine."""

from pydantic import Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from chassis.config import LlmEndpoint, OpaEndpoint, RequireLicense, ServiceSettings
from chassis.embedded.subscribers import tenants_in
from kernel.faults import Invalid


class Settings(ServiceSettings):
    """Of the services' settings, those to which an embedded run adds its own keys, and those that this version
    does not honour: they are refused here, before anything is started."""

    api_keys: SecretStr = Field(SecretStr(""), alias="API_KEYS")
    admin_keys: SecretStr = Field(SecretStr(""), alias="ADMIN_KEYS")
    llm_endpoint: LlmEndpoint = ""
    opa_endpoint: OpaEndpoint = ""
    tls: bool = Field(False, alias="PROVOST_TLS")
    vault: bool = Field(False, alias="PROVOST_VAULT")
    vault_port: int = Field(8200, alias="PROVOST_VAULT_PORT", ge=1, le=65535)
    require_license: RequireLicense = False
    witness: bool = Field(False, alias="PROVOST_WITNESS")
    witness_logs: str = Field("", alias="PROVOST_WITNESS_LOGS")
    ledger_witnesses: str = Field("", alias="PROVOST_LEDGER_WITNESSES")
    public_events: bool = Field(False, alias="PROVOST_PUBLIC_EVENTS")
    subscribers: str = Field("", alias="PROVOST_SUBSCRIBERS")

    @field_validator("subscribers")
    @classmethod
    def _tenants(cls, value: str, info: ValidationInfo) -> str:
        try:
            given = tenants_in(value)
        except Invalid as fault:
            raise ValueError(fault.text) from None
        if given and info.data.get("tls"):
            raise ValueError(
                "with PROVOST_TLS readers have certificates: see deploy/nats/subscriber.conf.template"
            )
        return value

    @field_validator("vault")
    @classmethod
    def _one_vault(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("vault_url"):
            raise ValueError("runs an OpenBao here, and VAULT_URL names another Vault: set one of them")
        return value

    @field_validator("tls")
    @classmethod
    def _own_certificates(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("tls_cert_file"):
            raise ValueError(
                "makes certificates here, and PROVOST_TLS_CERT_FILE names others: set one of them"
            )
        return value

    @property
    def own_vault_port(self) -> int:
        """Where OpenBao listens; 0: there is none here."""
        return self.vault_port if self.vault else 0

    @field_validator("metrics_port")
    @classmethod
    def _one_for_each(cls, value: int | None) -> int | None:
        if value:
            raise ValueError("can only be 0 here: each process offers its metrics 2000 above its port")
        return value
