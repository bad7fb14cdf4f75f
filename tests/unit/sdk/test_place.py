"""Where the command line looks for a gateway and a key."""

import json
from pathlib import Path

import pytest

from provost_sdk.place import Place, find


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which a run has announced itself; nothing else in the environment."""
    for name in ("PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path))
    keys = tmp_path / "keys" / "api-keys.json"
    keys.parent.mkdir()
    keys.write_text(json.dumps({"operator": "the-operators", "approver": "the-approvers"}))
    run = {"grpc": "127.0.0.1:7077", "api_keys_file": str(keys)}
    (tmp_path / "run.json").write_text(json.dumps(run))
    return tmp_path


def test_the_run_here_is_found_with_the_key_of_the_role(home: Path) -> None:
    found = find("approver")
    assert (found.address, found.key, found.local) == ("127.0.0.1:7077", "the-approvers", True)
    assert find("auditor").key == ""


def test_flags_come_before_the_environment_and_that_before_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVOST_ADDRESS", "env:1")
    monkeypatch.setenv("PROVOST_API_KEY", "env-key")
    assert find("operator", None, None).address == "env:1"
    assert find("operator", None, None).key == "env-key"
    assert find("operator", "flag:2", "flag-key").address == "flag:2"
    assert find("operator", "flag:2", "flag-key").key == "flag-key"
    assert not find("operator").local
    monkeypatch.setenv("PROVOST_ADDRESS", "127.0.0.1:7077")
    assert find("operator").local, "the run here, by its address"


@pytest.mark.parametrize("nothing", ["", " "])
def test_an_option_that_was_given_empty_finds_nothing(home: Path, nothing: str) -> None:
    with pytest.raises(ValueError, match="--key was given, and is empty"):
        find("approver", None, nothing)
    with pytest.raises(ValueError, match="--address was given, and is empty"):
        find("approver", nothing)


def test_in_the_environment_empty_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (home / "run.json").rename(home / "elsewhere.json")
    (home / ".provost").mkdir()
    (home / "elsewhere.json").rename(home / ".provost" / "run.json")
    for name in ("PROVOST_HOME", "PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_CA_FILE"):
        monkeypatch.setenv(name, "")
    assert find("approver") == Place("127.0.0.1:7077", "the-approvers", True)
    (home / ".provost" / "run.json").unlink()
    monkeypatch.setenv("PROVOST_GATEWAY_PORT", "")
    assert find("approver").address == "127.0.0.1:7000"


def test_a_key_of_this_machine_is_not_shown_to_another(home: Path) -> None:
    assert find("operator", "elsewhere.example:7000").key == ""
    assert find("operator", "127.0.0.1:7077").key == "the-operators"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '"x"'])
def test_a_home_that_says_nothing_is_none(home: Path, content: str | None) -> None:
    (home / "run.json").unlink()
    if content is not None:
        (home / "run.json").write_text(content)
    found = find("operator")
    assert (found.address, found.local) == ("127.0.0.1:7000", False)


def test_before_a_run_announces_itself_its_port_is_known_from_the_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "run.json").unlink()
    monkeypatch.setenv("PROVOST_GATEWAY_PORT", "7123")
    assert find("operator").address == "127.0.0.1:7123"


@pytest.mark.parametrize("content", [None, b"", b"host\n"])
def test_a_file_without_certificates_is_said_so_before_anyone_is_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = home / "authority.pem"
    monkeypatch.setenv("PROVOST_CA_FILE", str(file))
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        ValueError, match="PROVOST_CA_FILE: .*authority.pem.*: name a file of certificates, PEM"
    ):
        find("operator")
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.raises(ValueError, match="is a directory|Is a directory"):
        find("operator")
