"""Clients in four runtimes go through one script against the same Provost, in the clear and over TLS: all get the
answers that are expected."""

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import given as giving
from tests.e2e.embedded.embedded import REPOSITORY, Embedded
from tests.fakes.certificates import Issued
from tests.fakes.process import ServerProcess, free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SCRIPT: dict[str, Any] = json.loads(giving.SCRIPT.read_text("utf-8"))


UNTRUSTED = r"the gateway is not trusted \(.+\): is ca_?file the authority that issued its certificate\?"
Runners = dict[str, list[str]]


@pytest.fixture
def runners(programs: dict[str, dict[str, list[str]]], go_conformance: Path) -> Runners:
    return {
        "python": [sys.executable, "-m", "tests.conformance.python"],
        "node": programs["node"]["conformance"],
        "bun": programs["bun"]["conformance"],
        "go": [str(go_conformance)],
    }


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued(tmp_path / "authority").issue("gateway")


@pytest.fixture
def over_tls(running: Embedded, issued: Issued, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Another gateway of the same Provost, which speaks TLS alone: where it is, and its authority."""
    environ = Path(f"/proc/{running.run_json()['pids']['gateway']}/environ").read_bytes()
    same = dict(each.partition("=")[::2] for each in os.fsdecode(environ).split("\0") if each)
    certificate, key, authority = issued.files("gateway")
    grpc_port, http_port = str(free_port()), free_port()
    its_own = {
        "PROVOST_GATEWAY_PORT": grpc_port,
        "PROVOST_HTTP_PORT": str(http_port),
        "PROVOST_METRICS_PORT": "0",
        "PROVOST_GATEWAY_TLS_CERT_FILE": str(certificate),
        "PROVOST_GATEWAY_TLS_KEY_FILE": str(key),
    }
    trusted = ssl.create_default_context(cafile=authority)

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(
                f"https://localhost:{http_port}/api/health", timeout=5, context=trusted
            ) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except OSError:
            return False

    command, log = [sys.executable, "-m", "services.gateway"], tmp_path / "gateway.log"
    gateway = ServerProcess(command, http_port, log, healthy, environment=same | its_own)
    try:
        gateway.start()
        yield {"address": f"https://localhost:{grpc_port}", "ca_file": str(authority)}
    finally:
        gateway.stop()


def answers(command: list[str], given: Path, script: Path = giving.SCRIPT) -> list[dict[str, Any]]:
    """What one runner prints."""
    done = subprocess.run(
        [*command, str(script), str(given)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}\n{done.stdout}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def goes_through(name: str, command: list[str], given: Mapping[str, Any], place: Path) -> int:
    """Hold one client to the script; how many steps there were."""
    found = answers(command, giving.written(given, name, place))
    expected = giving.expected(SCRIPT, given)
    assert [each["step"] for each in found] == [each["step"] for each in expected], name
    for step, wanted in zip(found, expected, strict=True):
        assert step == wanted, f"{name} was answered otherwise"
    return len(expected)


def test_every_client_is_given_the_same_answers(running: Embedded, runners: Runners, tmp_path: Path) -> None:
    # One after the other, each with a packet of its own: the agent it is for may be given other runs meanwhile.
    for name, command in runners.items():
        steps = goes_through(name, command, giving.prepared(running), tmp_path)
    print(f"{len(runners)} clients, {steps} steps, the same answers: {', '.join(runners)}")


def test_over_tls_too(
    running: Embedded, runners: Runners, over_tls: Mapping[str, str], tmp_path: Path
) -> None:
    for name, command in runners.items():
        goes_through(f"{name}-tls", command, {**giving.prepared(running), **over_tls}, tmp_path)


def test_a_gateway_of_another_authority_is_not_spoken_to_and_the_error_says_why(
    running: Embedded, runners: Runners, over_tls: Mapping[str, str], tmp_path: Path
) -> None:
    (status,) = [each for each in SCRIPT["steps"] if each["name"] == "status"]
    script = tmp_path / "status.json"
    script.write_text(json.dumps({"steps": [{**status, "as": "operator"}]}))
    another = str(Issued(tmp_path / "another").issue("gateway").files("gateway")[2])
    given = {**giving.prepared(running), **over_tls, "ca_file": another, "with_text": True}
    for name, command in runners.items():
        (told,) = answers(command, giving.written(given, f"{name}-untrusted", tmp_path), script)
        error = told["answer"]["error"]
        assert (error["kind"], error["reason"]) == ("Unreachable", "GATEWAY_UNREACHABLE"), name
        assert re.fullmatch(UNTRUSTED, error["text"], re.IGNORECASE), f"{name}: {error['text']}"
        print(f"{name}: {error['text']}")
