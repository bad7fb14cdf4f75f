"""Metrics as Prometheus reads them."""

import socket
import urllib.request

import pytest

from chassis import metrics
from tests.fakes.process import free_port


def test_calls_are_counted_by_method_and_code_and_offered_over_http() -> None:
    calls = metrics.Calls("/provost.test.v1.Metrics/Say")
    calls.done("OK", 0.003)
    calls.done("OK", 0.2)
    calls.done("NOT_FOUND", 0.001)
    port = free_port()
    served = metrics.serve(port)
    assert served is not None
    server, thread = served
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    label = 'method="/provost.test.v1.Metrics/Say"'
    assert f'provost_rpc_calls_total{{code="OK",{label}}} 2.0' in text
    assert f'provost_rpc_calls_total{{code="NOT_FOUND",{label}}} 1.0' in text
    assert f'provost_rpc_seconds_bucket{{le="0.005",{label}}} 2.0' in text
    assert f"provost_rpc_seconds_count{{{label}}} 3.0" in text


def test_port_zero_offers_nothing() -> None:
    assert metrics.serve(0) is None


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} .*PROVOST_METRICS_PORT"):
            metrics.serve(port)
