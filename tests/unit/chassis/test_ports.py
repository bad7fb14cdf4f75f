"""Taken ports: named with who holds them and the setting that moves them."""

import os
import socket
from collections.abc import Iterator

import pytest

from chassis.config import ServiceSettings
from chassis.embedded import services
from chassis.embedded.ports import Port, troubles


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_setting(taken: int) -> None:
    (line,) = troubles("127.0.0.1", [Port(taken, "PROVOST_HTTP_PORT", "the API")])
    assert f"port {taken} for the API is taken by pid {os.getpid()} (" in line
    assert line.endswith("set PROVOST_HTTP_PORT to another")


def test_every_trouble_is_told_at_once(taken: int) -> None:
    free = Port(_free(), "A", "a")
    found = list(
        troubles(
            "127.0.0.1", [Port(taken, "X", "x"), free, Port(free.number, "B", "b"), Port(taken, "Y", "y")]
        )
    )
    assert len(found) == 3
    assert f"port {free.number} is set for both a (A) and b (B)" in found


def test_a_port_just_left_is_free() -> None:
    """Connections in TIME_WAIT must not keep Provost from starting again."""
    server = socket.create_server(("127.0.0.1", 0))
    number = server.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", number))
    accepted, _ = server.accept()
    accepted.close()
    server.close()
    client.close()
    assert list(troubles("127.0.0.1", [Port(number, "X", "x")])) == []


def test_all_ports_of_a_run_differ_and_name_settings_that_exist() -> None:
    settings = ServiceSettings(_env_file=None)
    ports = services.ports(settings)
    assert len({port.number for port in ports}) == len(ports) == 15
    aliases = {field.alias for field in ServiceSettings.model_fields.values()}
    assert {port.setting for port in ports} <= aliases
    off = services.ports(ServiceSettings(_env_file=None, metrics_port=0))
    assert len(off) == 9


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
