"""What each process of Provost is told in its environment: the settings it reads, the secrets it uses, and no others.

Whoever starts a run may have anything in the environment: keys of a cloud, tokens, an operator's own API key. Of it a
process gets what its settings class names and what the libraries in it heed.
"""

import os
from collections.abc import Mapping

from chassis.config import ServiceSettings

USES: Mapping[str, frozenset[str]] = {
    "ledger": frozenset({"PROVOST_NATS_URL"}),
    "state": frozenset({"PROVOST_NATS_URL", "PROVOST_STORE_URL"}),
    "policy": frozenset({"PROVOST_NATS_URL"}),
    "actuators": frozenset({"PROVOST_NATS_URL"}),
    "agents": frozenset(),
    "orchestrator": frozenset({"PROVOST_NATS_URL"}),
    "gateway": frozenset({"PROVOST_NATS_URL", "PROVOST_STORE_URL"}),
}
"""Which secrets of a run each process uses besides `PROVOST_INTERNAL_KEY`: as deploy/vault/policies/services and the
Helm chart have it."""

_HEEDED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    }
)  # fmt: skip
_HEEDED_PREFIXES = ("LC_", "OTEL_", "GRPC_", "PYTHON", "MALLOC_", "LD_")
_MORE_PREFIXES: Mapping[str, tuple[str, ...]] = {"ledger": ("PG",)}  # how PostgreSQL's clients are told of it


def passed_on(name: str, settings: type[ServiceSettings]) -> Mapping[str, str]:
    """Of this process's environment, what the process `name`, which reads `settings`, gets."""
    read = {field.alias for field in settings.model_fields.values()}
    prefixes = _HEEDED_PREFIXES + _MORE_PREFIXES.get(name, ())
    return {
        given: value
        for given, value in os.environ.items()
        if given in read or given in _HEEDED or given.startswith(prefixes)
    }
