"""The gateway's settings, names as operators know them."""

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from chassis.config import RequireLicense, ServiceSettings
from kernel.faults import Invalid
from services.gateway.domain.callers import Keyring, Role, parse_keys


class GatewaySettings(ServiceSettings):
    """Keys are comma lists of `role@tenant:key`, `role:key` and plain `key` (an operator's, an admin's)."""

    api_keys: SecretStr = Field(SecretStr(""), alias="API_KEYS")
    admin_keys: SecretStr = Field(SecretStr(""), alias="ADMIN_KEYS")
    rate_limit_requests: int = Field(100, alias="RATE_LIMIT_REQUESTS", ge=0)
    rate_limit_window_seconds: float = Field(60.0, alias="RATE_LIMIT_WINDOW_SEC", gt=0, le=86_400)

    websocket_url: str = Field("", alias="WEBSOCKET_URL")

    @field_validator("websocket_url")
    @classmethod
    def _socket(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"ws", "wss"} or not parts.hostname or "@" in parts.netloc):
            raise ValueError("it is to be wss://HOST:PORT/PATH, without user and password")
        return value

    public_log: bool = Field(False, alias="PROVOST_PUBLIC_LOG")

    require_license: RequireLicense = False

    # What the analysis is set to: told to callers, used by the orchestrator.
    enable_reflection: bool = Field(True, alias="ENABLE_REFLECTION")
    max_reasoning_cycles: int = Field(2, alias="MAX_REASONING_CYCLES", ge=1)
    target_reasoning_score: float = Field(0.7, alias="TARGET_REASONING_SCORE", ge=0, le=1)

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _can_be_read(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        given = info.data | {info.field_name or "": value}
        try:
            _keyring(given.get("api_keys", SecretStr("")), given.get("admin_keys", SecretStr("")))
        except Invalid as fault:
            raise ValueError(fault.text) from None
        return value

    def addresses(self) -> dict[str, str]:
        """Where each service behind the door is."""
        return {
            name: self.address(name) for name in ("policy", "state", "ledger", "orchestrator", "actuators")
        }

    def public(self) -> dict[str, Any]:
        """What anyone may know."""
        keyring = self.keyring()
        return {
            "authentication": "open" if keyring.open else "keys",
            "rate_limit_requests": self.rate_limit_requests,
            "rate_limit_window_seconds": self.rate_limit_window_seconds,
            "enable_reflection": self.enable_reflection,
            "max_reasoning_cycles": self.max_reasoning_cycles,
            "target_reasoning_score": self.target_reasoning_score,
            "enable_tracing": self.enable_tracing,
            "websocket_url": self.websocket_url,
            "warning": keyring.warning if keyring.open else None,
        }

    def keyring(self) -> Keyring:
        """All keys that open the door."""
        return _keyring(self.api_keys, self.admin_keys)


def _keyring(api_keys: SecretStr, admin_keys: SecretStr) -> Keyring:
    plain = parse_keys(api_keys.get_secret_value(), Role.OPERATOR)
    return Keyring((*plain, *parse_keys(admin_keys.get_secret_value(), Role.ADMIN)))
