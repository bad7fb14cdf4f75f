"""Logs: one inert line a record in every format, without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from chassis import telemetry
from chassis.config import ServiceSettings

HOSTILE = "a\r\nFAKE level=error\x1b[2J\x1b]0;pwned\x07\x00\x7f\x9b31m\u2028b\u202ec\ud800"
FORMATS = ("text", "json", "kv")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def log_to(form: str, level: str = "INFO") -> io.StringIO:
    out = io.StringIO()
    telemetry.configure("policy", ServiceSettings(_env_file=None, LOG_FORMAT=form, LOG_LEVEL=level), out)
    return out


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_values_stay_one_inert_line(form: str) -> None:
    out = log_to(form)
    telemetry.get_logger().info(
        HOSTILE, line=HOSTILE, nested={HOSTILE: [HOSTILE]}, raw=HOSTILE.encode("utf-8", "ignore")
    )
    said = out.getvalue()
    assert said.count("\n") == 1
    assert said.endswith("\n")
    assert not [char for char in said[:-1] if not char.isprintable()]
    said.encode()
    assert "FAKE" in said


@given(st.text(), st.sampled_from(FORMATS))
def test_no_text_can_break_out(text: str, form: str) -> None:
    event = telemetry.inert(
        {"event": text, "key": text, text: text, "time": "t", "level": "info", "service": "s"}
    )
    line = telemetry.RENDERERS[form](event)
    assert "\n" not in line
    assert telemetry.escape(line) == line


def test_kv_values_cannot_forge_keys() -> None:
    out = log_to("kv")
    telemetry.get_logger().info("x", a='1" level="error', b="", c="plain", d=3, e=None, f=[1, "y z"])
    assert r'a="1\" level=\"error" b="" c=plain d=3 e=null f="[1, \"y z\"]"' in out.getvalue()


def test_json_is_json_with_who_and_when() -> None:
    out = log_to("json")
    telemetry.get_logger("rpc").warning("slow", seconds=1.5)
    record = json.loads(out.getvalue())
    assert record.pop("time").endswith("Z")
    assert record == {"level": "warning", "service": "policy", "event": "slow", "part": "rpc", "seconds": 1.5}


async def test_records_carry_tenant_and_run_of_the_call() -> None:
    import asyncio

    out = log_to("json")

    async def call(tenant: str, run: str) -> None:
        telemetry.enter_call(tenant, run)
        telemetry.get_logger().info("inside")

    await asyncio.gather(call("acme", "r1"), call("zeta", "r2"))
    telemetry.get_logger().info("outside")
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(each.get("tenant"), each.get("run")) for each in records] == [
        ("acme", "r1"),
        ("zeta", "r2"),
        (None, None),
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_secrets_are_masked(form: str) -> None:
    out = log_to(form)
    secrets: dict[str, Any] = {
        "api_key": "hunter2",
        "Authorization": "Bearer hunter2",
        "session_token": b"hunter2",
        "nested": {"client_secret": "hunter2", "list": [{"password": "hunter2"}]},
        "keys": ["hunter2"],
        "url": "redis://:hunter2@127.0.0.1:6379/0",
    }
    telemetry.get_logger().info("connecting to nats://provost:hunter2@host:4222", **secrets, fencing_token=17)
    assert "hunter2" not in out.getvalue()
    assert "17" in out.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_an_exception_is_told_in_one_line(form: str) -> None:
    out = log_to(form)
    try:
        try:
            raise ValueError("first\nline")
        except ValueError as error:
            raise RuntimeError("second") from error
    except RuntimeError:
        telemetry.get_logger().exception("it broke")
    said = out.getvalue()
    assert said.count("\n") == 1
    assert "RuntimeError: second ← ValueError: first\\" in said
    assert "test_telemetry.py" in said


def test_levels_are_kept() -> None:
    out = log_to("kv", "WARNING")
    telemetry.get_logger().info("quiet")
    telemetry.get_logger().warning("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()


def test_libraries_are_told_the_same_way() -> None:
    out = log_to("json")
    logging.getLogger("grpc").info("chatter")
    logging.getLogger("grpc").error("broken\n%s", "pipe")
    (record,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (record["event"], record["part"], record["level"]) == ("broken\\x0apipe", "grpc", "error")


def test_text_reads_well() -> None:
    out = log_to("text")
    telemetry.get_logger().warning("follower halted", sequence=17, reason="GAP")
    assert out.getvalue()[24:] == " WARNING policy       follower halted   sequence=17 reason=GAP\n"
