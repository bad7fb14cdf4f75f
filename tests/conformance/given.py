"""A Provost made ready for the script: keys of each role and of another tenant, an agent with packet and session."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provost_sdk import Provost
from services.ledger.domain.checkpoint import VerifierKey
from tests.e2e.embedded.embedded import Embedded
from tests.fakes.process import free_port
from tests.vectors.ledger import FILE as VECTORS

SCRIPT = Path(__file__).with_name("script.json")
OTHER_TENANTS_KEY = "viewer@elsewhere:conformance-key-of-another-tenant"
SETTINGS = {"RATE_LIMIT_REQUESTS": "0", "API_KEYS": OTHER_TENANTS_KEY}
"""What the Provost must be started with."""
LOG = """\
Jan 10 10:00:00 web app[7]: request 1 served in 1 ms
Jan 10 10:01:00 web kernel: Out of memory: Killed process 4242 (java)
"""
ROLES = ("viewer", "operator", "approver", "auditor", "admin")


def prepared(running: Embedded) -> dict[str, Any]:
    """Everything a runner is given but the name of its run, `run`."""
    return asyncio.run(_prepared(running.run_json()["grpc"], {role: running.key(role) for role in ROLES}))


def written(given: Mapping[str, Any], run: str, place: Path) -> Path:
    """The file for one runner. `run` makes its request ids its own."""
    file = place / f"{run}.json"
    file.write_text(json.dumps({**given, "values": {**given["values"], "run": run}}), encoding="utf-8")
    return file


async def _prepared(address: str, keys: Mapping[str, str]) -> dict[str, Any]:
    async with (
        Provost(address, keys["operator"]) as operator,
        Provost(address, keys["admin"]) as admin,
        Provost(address, keys["viewer"]) as viewer,
    ):
        # A packet comes with a run: this one finds nothing, and its agent may not use ansible.
        run = await operator.process_log(
            "all is well", agent="sre-5", forbidden=["ansible.*"], strategy="classic"
        )
        secret = await admin.create_secret("sre-5")
        session = await operator.open_session(secret.role_id, secret.secret_id)
        head = await viewer.tree_head()
    another = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return {
        "address": address,
        "keys": {
            **keys,
            "other": OTHER_TENANTS_KEY.rpartition(":")[2],
            "wrong": "no-such-key-at-all",
            "nobody": "",
        },
        "closed_address": f"127.0.0.1:{free_port()}",
        "vectors": str(VECTORS),
        "values": {
            "log": LOG,
            "agent": "sre-5",
            "agent_run": run.run_id,
            "task": run.task_id,
            "session_token": session.session_token,
            "assisted": "sre-4",
            "operator_name": run.requested_by,
            "verifier_key": head.verifier_key,
            "other_verifier_key": VerifierKey(head.tree_head.origin, another).text,
        },
    }


def expected(script: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What every runner must print."""
    text = json.dumps([{"step": each["name"], "answer": each["expect"]} for each in script["steps"]])
    for name in ("operator_name", "assisted"):
        text = text.replace("${" + name + "}", given["values"][name])
    filled: list[dict[str, Any]] = json.loads(text)
    return filled
