"""What a service's contract says of its refusals: the `Reasons:` in the comment of each method.

A conftest imports the fixture; from then on no test of that folder may see a reason that the comment does not name.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc import guard
from chassis.rpc.ending import refuse
from kernel.faults import Fault

_PROTOS = Path(__file__).parents[2] / "protos"
_WORD = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
SHARED = frozenset(
    {
        "APPEND_CONFLICT",
        "FIELD_INVALID",
        "FIELD_MISSING",
        "FOLLOWER_BEHIND",
        "FOLLOWER_HALTED",
        "INTERNAL_KEY_REFUSED",
        "LOG_FULL",
        "LOG_UNREACHABLE",
        "MALFORMED_ID",
        "MALFORMED_MESSAGE",
        "MESSAGE_TOO_LARGE",
        "PAGE_TOKEN_INVALID",
        "ROLE_MISSING",
        "SHUTTING_DOWN",
        "STREAM_REGRESSION",
        "UNREADABLE_EVENT",
    }
)
"""What any call may be refused for: its form, the caller's role, the log."""


@cache
def named(method: str) -> frozenset[str]:
    """The reasons in the comment of `/provost.policy.v1.PolicyService/Authorize`, say; those of another where it says
    `as` that one.
    """
    service, name = method.strip("/").split("/")
    package = service.rsplit(".", 1)[0]
    text = (_PROTOS / package.replace(".", "/") / f"{package.split('.')[1]}.proto").read_text()
    found = re.search(rf"((?:^  //.*\n)*)^  rpc {name}\(", text, re.MULTILINE)
    assert found is not None, method
    said = found[1].partition("Reasons:")[2]
    as_another = re.match(r" as (\w+)\.", said)
    return named(f"{service}/{as_another[1]}") if as_another else frozenset(_WORD.findall(said))


@pytest.fixture(autouse=True)
def every_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    unnamed: set[tuple[str, str]] = set()

    async def noting(method: str, context: Any, error: BaseException, *rest: Any, **more: Any) -> None:
        if isinstance(error, Fault) and error.reason not in SHARED | named(method):
            unnamed.add((method, error.reason))
        await refuse(method, context, error, *rest, **more)

    monkeypatch.setattr(guard, "refuse", noting)
    yield
    assert not unnamed, f"refused for a reason that the method's comment does not name: {sorted(unnamed)}"
