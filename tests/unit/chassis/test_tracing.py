"""Traces: nothing when off; one trace across calls when on."""

import json
import subprocess
import sys

import pytest

from chassis import tracing

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_TRACED = f"""
from chassis import tracing
tracing.start("policy", "console")
with tracing.span("outer", kind="SERVER", traceparent="{PARENT}", method="Say"):
    outer = tracing.current_traceparent()
    with tracing.span("inner", kind="CLIENT"):
        inner = tracing.current_traceparent()
print(outer, inner, tracing.current_traceparent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )


def test_off_it_imports_nothing_and_says_nothing() -> None:
    assert not tracing.enabled()
    with tracing.span("x", kind="SERVER", traceparent=PARENT):
        assert tracing.current_traceparent() == ""
    code = "import sys, chassis.telemetry, chassis.rpc.server; print([m for m in sys.modules if 'opentelemetry' in m])"
    assert run(code).stdout.strip() == "[]"


def test_spans_continue_the_callers_trace() -> None:
    done = run(_TRACED)
    outer, inner = done.stdout.split()
    trace, parent = PARENT.split("-")[1:3]
    spans = {each["name"]: each for each in map(json.loads, done.stderr.splitlines())}
    assert outer.split("-")[1] == inner.split("-")[1] == trace
    assert spans["outer"]["parent_id"] == f"0x{parent}"
    assert spans["inner"]["parent_id"] == f"0x{outer.split('-')[2]}"
    assert spans["outer"]["kind"] == "SpanKind.SERVER"
    assert spans["outer"]["attributes"] == {"method": "Say"}
    assert spans["outer"]["resource"]["attributes"]["service.name"] == "provost-policy"


@pytest.mark.parametrize("traceparent", ["", "rubbish", "00-0-0-0"])
def test_an_unreadable_parent_starts_a_new_trace(traceparent: str) -> None:
    done = run(_TRACED.replace(PARENT, traceparent))
    assert done.stdout.split()[0].startswith("00-")
