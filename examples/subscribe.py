"""Subscribes to a tenant's events on NATS, goes on where it ended, and handles each once.

    python examples/subscribe.py .provost/keys/subscribers/default.url                   # JSON, from the stream PUBLIC
    python examples/subscribe.py … --form protobuf --only 'policy.agent.*.AgentRevoked'  # protobuf, from EVENTS

Needs nats-py alone; the protobuf form needs the messages of `provost`, too. How far it is, it keeps in a file, one for
each tenant, form and `--only`, written after an event was handled: killed in between, it is handed that event again,
and knows it by its id. Ctrl-C ends it.
"""

import argparse
import asyncio
import importlib
import json
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import nats
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import ConsumerConfig, DeliverPolicy

REMEMBERED = 10_000
"""So many ids are kept: more than a stream repeats."""


class Position:
    """The sequence of the last event that was handled, and the ids of those before it.

    `of` says which events: whoever went on behind what others have handled would pass over what it has not.
    """

    def __init__(self, file: Path, of: dict[str, str]) -> None:
        self._file, self._of = file, of
        kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"of": of}
        if kept.get("of") != of:
            theirs = (
                " ".join(f"{name}={value}" for name, value in kept.get("of", {}).items()) or "does not say"
            )
            text = f"{file} is the position of another subscription ({theirs}): give another --position, or remove it"
            raise SystemExit(f"{text} to begin with the first event")
        self.sequence = int(kept.get("sequence", 0))
        self._ids = OrderedDict.fromkeys(kept.get("ids", []))

    def knows(self, event_id: str) -> bool:
        return event_id in self._ids

    def handled(self, sequence: int, event_id: str) -> None:
        """To be called when what the event asks for is done: what was not said here comes again."""
        self.sequence = sequence
        self._ids[event_id] = None
        while len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"of": self._of, "sequence": sequence, "ids": list(self._ids)[-100:]}))
        fresh.replace(self._file)


def from_json(message: Msg) -> dict[str, Any]:
    """A CloudEvent, structured mode."""
    event: dict[str, Any] = json.loads(message.data)
    return event


def from_protobuf(message: Msg) -> dict[str, Any]:
    """A CloudEvent, binary mode: attributes are headers, the payload is the message that `ce-type` names."""
    from google.protobuf.json_format import MessageToDict

    headers = message.headers or {}
    _, context, version, name = headers["ce-type"].split(".")
    file = "keys_pb2" if context == "event" else "events_pb2"
    kind = getattr(importlib.import_module(f"provost.{context}.{version}.{file}"), name)
    attributes = {key.removeprefix("ce-"): value for key, value in headers.items() if key.startswith("ce-")}
    return {
        **attributes,
        "data": MessageToDict(kind.FromString(message.data), preserving_proto_field_name=True),
    }


def handle(event: dict[str, Any]) -> None:
    """What you want to do about it."""
    print(event["time"], event["type"], event["subject"], json.dumps(event.get("data", {})), flush=True)


def tenant_of(url: str) -> str:
    return (urlsplit(url).username or "").removeprefix("subscriber-")


async def follow(url: str, form: str, only: str, position: Position) -> None:
    """Hand every event to `handle`, for ever, in order."""
    stream, word, read = ("PUBLIC", "pub", from_json) if form == "json" else ("EVENTS", "evt", from_protobuf)
    connection = await nats.connect(url, max_reconnect_attempts=-1)
    tenant = tenant_of(url)
    log = connection.jetstream()
    try:
        while True:
            first = (await log.stream_info(stream)).state.first_seq
            if 0 < position.sequence < first - 1:
                print(
                    f"some after {position.sequence} may be gone: provost events replay has them",
                    file=sys.stderr,
                )
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(1, position.sequence + 1)
            )
            reading = await log.pull_subscribe(f"{word}.{tenant}.{only}", stream=stream, config=config)
            with suppress(Error):  # the consumer is gone, as when the server was restarted: another goes on
                await _read(reading, read, position)
            await asyncio.sleep(1)
    finally:
        await connection.close()


async def _read(reading: Any, read: Any, position: Position) -> None:
    while True:
        try:
            messages = await reading.fetch(100, timeout=5)
        except nats.errors.TimeoutError:
            await reading.consumer_info()  # nothing came: is it still there?
            continue
        for message in messages:
            event = read(message)
            if not position.knows(event["id"]):
                handle(event)
            position.handled(message.metadata.sequence.stream, event["id"])
            await message.ack()


def default_position(of: dict[str, str]) -> Path:
    """`subscribe.default.json.position`; what was chosen by `--only` stands in it, too."""
    parts = [of["tenant"], of["form"], *([] if of["only"] == ">" else [quote(of["only"], safe="")])]
    return Path(".".join(("subscribe", *parts, "position")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="the file with the URL, as PROVOST_SUBSCRIBERS makes it")
    parser.add_argument("--form", choices=("json", "protobuf"), default="json")
    parser.add_argument(
        "--only", default=">", help="the subject behind the tenant, as policy.agent.*.AgentRevoked"
    )
    parser.add_argument(
        "--position", type=Path, help="the file that keeps how far it is, else one of its own, here"
    )
    given = parser.parse_args()
    url = Path(given.url).read_text().strip()
    of = {"tenant": tenant_of(url), "form": given.form, "only": given.only}
    position = Position(given.position or default_position(of), of)
    with suppress(KeyboardInterrupt):
        asyncio.run(follow(url, given.form, given.only, position))


if __name__ == "__main__":
    main()
