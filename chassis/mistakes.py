"""What is wrong with the settings given to a process, in words: values that are refused, names that nothing knows.

It must not know the settings themselves: they say what they allow, and this says what became of it.
"""

import difflib
import re
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|ENDPOINT|_URL|WITNESSES", re.IGNORECASE)

# What the command line reads from the environment, and no process.
CLIENT_NAMES: frozenset[str] = frozenset({"PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_CA_FILE"})

# Every PROVOST_ name that means something to some process, so that a misspelt one is noticed. A test holds this
# against all settings classes.
KNOWN_NAMES: frozenset[str] = frozenset(
    {
        "PROVOST_ACTUATORS_ADDRESS",
        "PROVOST_ACTUATORS_PORT",
        "PROVOST_AGENTS_PORT",
        "PROVOST_ALONE",
        "PROVOST_ARTIFACTS",
        "PROVOST_ARTIFACT_DAYS",
        "PROVOST_CLOCK_OFFSET_SECONDS",
        "PROVOST_CONNECTION_SECONDS",
        "PROVOST_CREW_SIZE",
        "PROVOST_GATEWAY_ADDRESS",
        "PROVOST_GATEWAY_PORT",
        "PROVOST_GATEWAY_TLS_CERT_FILE",
        "PROVOST_GATEWAY_TLS_KEY_FILE",
        "PROVOST_HOME",
        "PROVOST_HTTP_PORT",
        "PROVOST_INTERNAL_KEY",
        "PROVOST_LEDGER_ADDRESS",
        "PROVOST_LEDGER_DATABASE_PASSWORD_FILE",
        "PROVOST_LEDGER_DATABASE_ROLE",
        "PROVOST_LEDGER_DATABASE_URL",
        "PROVOST_LEDGER_DB",
        "PROVOST_LEDGER_PORT",
        "PROVOST_LEDGER_SCRUB_SECONDS",
        "PROVOST_LEDGER_WITNESSES",
        "PROVOST_LISTEN_HOST",
        "PROVOST_LOG_MAX_BYTES",
        "PROVOST_METRICS_PORT",
        "PROVOST_NATS_PORT",
        "PROVOST_NATS_REPLICAS",
        "PROVOST_NATS_URL",
        "PROVOST_ORCHESTRATOR_ADDRESS",
        "PROVOST_ORCHESTRATOR_PORT",
        "PROVOST_PERSONAL_DAYS",
        "PROVOST_POLICY_ADDRESS",
        "PROVOST_POLICY_PORT",
        "PROVOST_PUBLIC_EVENTS",
        "PROVOST_PUBLIC_LOG",
        "PROVOST_SEALING_KEY",
        "PROVOST_SHUTDOWN_SECONDS",
        "PROVOST_STATE_ADDRESS",
        "PROVOST_STATE_PORT",
        "PROVOST_STORE_PORT",
        "PROVOST_STORE_URL",
        "PROVOST_STUCK_SECONDS",
        "PROVOST_SUBSCRIBERS",
        "PROVOST_TLS",
        "PROVOST_TLS_CA_FILE",
        "PROVOST_TLS_CERT_FILE",
        "PROVOST_TLS_KEY_FILE",
        "PROVOST_VAULT",
        "PROVOST_VAULT_CA_FILE",
        "PROVOST_VAULT_PORT",
        "PROVOST_VAULT_ROLE_ID_FILE",
        "PROVOST_VAULT_SECRET_ID_FILE",
        "PROVOST_VAULT_TOKEN_FILE",
        "PROVOST_WITNESS",
        "PROVOST_WITNESS_LOGS",
        "PROVOST_WITNESS_NAME",
        "PROVOST_WITNESS_PORT",
    }
)


def mistakes(error: Exception) -> Iterator[str]:
    """One line for each thing wrong: the name, the value unless it is secret, and what is allowed.

    What is wrong with several settings together has no name, and its value would be all of them.
    """
    if not isinstance(error, ValidationError):
        yield f"settings: {error}"
        return
    for each in error.errors(include_url=False):
        what = each["msg"].removeprefix("Value error, ")
        if each["loc"]:
            name = ".".join(str(part) for part in each["loc"])
            shown = "" if _SECRET.search(name) else f" is {str(each['input'])[:80]!r}"
            what = f"{name}{shown}: {what}"
        yield what


def unknown_names(given: Iterable[str]) -> Iterator[str]:
    """One line for each `PROVOST_` name in `given` that no setting has, with the nearest one that exists."""
    for name in sorted(set(given)):
        if name.startswith("PROVOST_") and name not in KNOWN_NAMES | CLIENT_NAMES:
            near = difflib.get_close_matches(name, KNOWN_NAMES, n=1)
            yield f"{name} is not a setting" + (
                f": did you mean {near[0]}?" if near else " and has no effect"
            )
