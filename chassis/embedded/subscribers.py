"""Subscribers from outside, on NATS itself: each tenant's in an account of its own, with copies of its events to read.

A user of the account that Provost works in cannot be held to reading: whoever may ask JetStream for anything may name
where the answer goes, and the server asks nobody whether they may publish there (seen with nats-server 2.15.1: an
answer on `evt.…` becomes a message of the log). In an account of its own there is nothing to be overwritten. Its
streams `EVENTS` and `PUBLIC` are mirrors of the tenant's part of ours, with our sequences, kept for a week; what is
published now can be subscribed to as it comes.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis import files, process
from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.wire import Connection
from kernel.events import require_token
from kernel.faults import Unavailable

OURS, UNNAMED = "PROVOST", "$G"
"""The account that Provost itself works in, beside those of subscribers; and where it does when there are none."""
KEPT_SECONDS = 7 * 86_400
STREAMS: Mapping[str, str] = {"EVENTS": "evt", "PUBLIC": "pub"}
MAY_ASK = (
    "$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>", "$JS.API.CONSUMER.>", "$JS.ACK.>", "$JS.FC.>",
)  # fmt: skip
"""What subscribers may publish: questions to the JetStream of their own account, none of which changes a stream."""
_LIMITS = "{ max_mem: 67108864, max_streams: 2, max_consumers: 256 }"
_NAME_IN_USE, _NO_STREAM = 10058, 10059


@dataclass(frozen=True, slots=True)
class Subscribers:
    """One tenant's. `keeper` is the password of whoever makes the mirrors; nobody keeps it."""

    tenant: str
    password: str
    keeper: str

    @property
    def account(self) -> str:
        return f"subscribers-{self.tenant}"

    @property
    def user(self) -> str:
        return f"subscriber-{self.tenant}"


def tenants_in(text: str) -> tuple[str, ...]:
    """The tenants in a comma list, each once.

    Raises:
        Invalid: one that cannot be a tenant.
    """
    given = (each.strip() for each in text.split(","))
    return tuple(dict.fromkeys(require_token(each, "tenant") for each in given if each))


def of_tenants(tenants: Iterable[str], keys: Path, host: str, port: int) -> tuple[Subscribers, ...]:
    """The subscribers of these tenants: `keys/TENANT` holds the password, `keys/TENANT.url` is what a client needs.

    Raises:
        PermissionError: others may read one of the passwords.
    """
    return tuple(_of_tenant(each, keys, host, port) for each in tenants)


def _of_tenant(tenant: str, keys: Path, host: str, port: int) -> Subscribers:
    file = keys / tenant
    files.create_once(file, lambda: process.new_secret().encode())
    made = Subscribers(tenant, files.read_secret(file).decode(), process.new_secret())
    files.replace(keys / f"{tenant}.url", f"nats://{made.user}:{made.password}@{host}:{port}\n".encode())
    return made


def accounts(password: str, subscribers: Iterable[Subscribers]) -> str:
    """The accounts of nats-server's configuration: ours, with the user `provost`, and one for each tenant."""
    some = tuple(subscribers)
    exported = "\n".join(f"      {line}" for each in some for line in _exports(each))
    ours = f'{{ jetstream: enabled, users: [{{ user: "provost", password: {json.dumps(password)} }}]'
    lines = [f"  {OURS}: {ours}", f"    exports: [\n{exported}\n    ] }}" if some else "  }"]
    lines += [_account(each) for each in some]
    return "accounts {\n" + "\n".join(lines) + "\n}\n"


def _shared(each: Subscribers) -> Iterator[tuple[str, str]]:
    """What passes between the accounts: whether it is asked or told, and its subject."""
    for stream, word in STREAMS.items():
        yield "service", f"$JS.API.CONSUMER.CREATE.{stream}.*.{word}.{each.tenant}.>"
        yield "service", f"$JS.FC.{stream}.>"
        yield "stream", f"{word}.{each.tenant}.>"
    yield "stream", f"mirror.{each.tenant}.>"


def _exports(each: Subscribers) -> Iterator[str]:
    for kind, subject in _shared(each):
        yield f'{{ {kind}: "{subject}", accounts: ["{each.account}"] }}'


def _account(each: Subscribers) -> str:
    imported = "\n".join(f"      {line}" for line in _imports(each))
    may = json.dumps([*MAY_ASK])
    hears = json.dumps([*(f"{word}.{each.tenant}.>" for word in STREAMS.values()), "_INBOX.>"])
    allowed = f"permissions: {{ publish: {{ allow: {may} }}, subscribe: {{ allow: {hears} }} }}"
    return (
        f"  {each.account}: {{\n    jetstream: {_LIMITS}\n    users: [\n"
        f'      {{ user: "keeper-{each.tenant}", password: {json.dumps(each.keeper)} }}\n'
        f'      {{ user: "{each.user}", password: {json.dumps(each.password)}, {allowed} }}\n'
        f"    ]\n    imports: [\n{imported}\n    ]\n  }}"
    )


def _imports(each: Subscribers) -> Iterator[str]:
    for kind, subject in _shared(each):
        # Asked of us, JetStream has another prefix here: under its own the account asks itself.
        to = f', to: "{subject.replace("$JS.", "provost.", 1)}"' if subject.startswith("$JS.API.") else ""
        yield f'{{ {kind}: {{ account: {OURS}, subject: "{subject}" }}{to} }}'


async def ensure_mirrors(subscribers: Iterable[Subscribers], host: str, port: int, *, public: bool) -> None:
    """Make the mirrors that are not there yet; of `PUBLIC` only when there is one.

    Raises:
        Unavailable: NATS does not answer, or refuses.
    """
    for each in subscribers:
        url = f"nats://keeper-{each.tenant}:{each.keeper}@{host}:{port}"
        connection = await connect(url, name="subscribers")
        try:
            await asyncio.gather(
                *(_ensure(connection, each, name) for name in STREAMS if public or name != "PUBLIC")
            )
        finally:
            await connection.close()


async def _ensure(connection: Connection, each: Subscribers, name: str) -> None:
    found = await call(connection, f"STREAM.INFO.{name}")
    if found.get("error", {}).get("err_code") != _NO_STREAM:
        return
    mirror: dict[str, Any] = {
        "name": name,
        "filter_subject": f"{STREAMS[name]}.{each.tenant}.>",
        "external": {"api": "provost.API", "deliver": f"mirror.{each.tenant}"},
    }
    wanted = {
        "name": name,
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": KEPT_SECONDS * 10**9,
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
        "mirror": mirror,
    }
    made = await call(connection, f"STREAM.CREATE.{name}", wanted)
    error = made.get("error")
    if error is not None and error["err_code"] != _NAME_IN_USE:
        raise Unavailable("LOG_UNREACHABLE", f"no mirror {name} for {each.tenant}: {error['description']}")
