"""`python -m chassis.embedded` when it cannot start: it says why, and leaves nothing behind."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from chassis.config import ServiceSettings
from chassis.embedded import keys
from chassis.embedded.place import Place
from tests.e2e.embedded.embedded import REPOSITORY, environment


def start(given: Mapping[str, str], cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chassis.embedded"],
        env=given,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_taken_ports_are_all_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [held.getsockname()[1] for held in (one, other)]
        done = start(
            environment(tmp_path, PROVOST_HTTP_PORT=str(ports[0]), PROVOST_NATS_PORT=str(ports[1])),
        )
    assert done.returncode == 1
    assert f"port {ports[0]} for the API is taken by pid {os.getpid()}" in done.stderr
    assert "set PROVOST_HTTP_PORT to another" in done.stderr
    assert f"port {ports[1]} for NATS is taken by pid {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run.json").exists()
    assert not (tmp_path / "nats.conf").exists()


def test_a_second_start_is_refused_and_told_where_the_first_is(tmp_path: Path) -> None:
    settings = ServiceSettings(_env_file=None, http_port=5999)
    with Place(tmp_path) as place:
        starting = start(environment(tmp_path))
        place.announce(settings, tmp_path / "keys.json", {"gateway": 7})
        running = start(environment(tmp_path))
        assert place.run_file.exists(), "the refused one must not remove what is not its own"
    assert starting.returncode == running.returncode == 1
    assert f"pid {os.getpid()}" in starting.stderr
    assert (
        f"already runs on this data ({tmp_path}) at http://127.0.0.1:5999: pid {os.getpid()}"
        in running.stderr
    )
    assert "PROVOST_HOME" in running.stderr
    assert not place.run_file.exists()


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"PROVOST_HTTP_PORT": "http", "LOG_FORMAT": "xml"}, 2, ("PROVOST_HTTP_PORT", "LOG_FORMAT")),
        (
            {"LLM_ENDPOINT": "http://x", "REQUIRE_LICENSE": "true", "PROVOST_HTTP_PORT": "http"},
            2,
            ("LLM_ENDPOINT: this version cannot", "REQUIRE_LICENSE", "PROVOST_HTTP_PORT"),
        ),
        ({"PROVOST_METRICS_PORT": "9999"}, 2, ("PROVOST_METRICS_PORT is '9999': can only be 0",)),
        (
            {"WEBSOCKET_URL": "https://provost", "PROVOST_SUBSCRIBERS": "acme,b*"},
            2,
            ("WEBSOCKET_URL: it is to be wss://", "PROVOST_SUBSCRIBERS is 'acme,b*': tenant must be"),
        ),
        (
            {"PROVOST_TLS": "true", "PROVOST_SUBSCRIBERS": "acme"},
            2,
            ("PROVOST_SUBSCRIBERS is 'acme': with PROVOST_TLS readers have certificates",),
        ),
        ({"PROVOST_HTTP_PORT": "7777", "PROVOST_STATE_PORT": "7777"}, 1, ("set for both",)),
    ],
)
def test_settings_that_cannot_work_are_told(
    tmp_path: Path, changes: dict[str, str], code: int, told: tuple[str, ...]
) -> None:
    done = start(environment(tmp_path, **changes))
    assert done.returncode == code
    assert all(each in done.stderr for each in told), done.stderr
    assert "Traceback" not in done.stderr


def test_the_mistakes_of_every_process_are_told_once_before_anything_is_started(tmp_path: Path) -> None:
    done = start(
        environment(
            tmp_path,
            RATE_LIMIT_REQUESTS="-3",
            MAX_REASONING_CYCLES="0",
            TARGET_REASONING_SCORE="7",
            PROVOST_CREW_SIZE="0",
            LOG_FORMAT="xml",
            OPA_ENDPOINT="ftp://x",
            API_KEYS="king:hunter2",
            PROVOST_POLCY_PORT="7",
        )
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert sorted(line.partition(" ")[0].rstrip(":") for line in said) == [
        "API_KEYS",
        "LOG_FORMAT",
        "MAX_REASONING_CYCLES",
        "OPA_ENDPOINT",
        "PROVOST_CREW_SIZE",
        "PROVOST_POLCY_PORT",
        "RATE_LIMIT_REQUESTS",
        "TARGET_REASONING_SCORE",
    ]
    assert "RATE_LIMIT_REQUESTS is '-3': Input should be greater than or equal to 0" in said
    assert "did you mean PROVOST_POLICY_PORT?" in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_keys_that_others_could_have_read_are_not_used(tmp_path: Path) -> None:
    keys.load_or_create(tmp_path / "keys")
    (tmp_path / "keys" / "internal").chmod(0o644)
    done = start(environment(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Provost cannot start: ")
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr
