"""docs/events.md names every event there is, and none that is not."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_event_is_documented() -> None:
    # In events.proto every message is an event, except those that are only parts of one.
    defined: set[str] = set()
    parts: set[str] = set()
    protos = ROOT / "protos" / "provost"
    for path in (*protos.glob("*/v1/events.proto"), protos / "event" / "v1" / "keys.proto"):
        text = path.read_text()
        names = re.findall(r"^message (\w+) \{", text, re.MULTILINE)
        defined.update(names)
        parts.update(name for name in names if re.search(rf"^  (?:repeated )?{name} ", text, re.MULTILINE))
    documented = set(
        re.findall(r"^\| `([A-Z]\w+)` \|", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE)
    )
    assert documented == defined - parts
