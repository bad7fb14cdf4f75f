"""`provost certs` and `provost overlay`: what they make, what they refuse, and what they say."""

import configparser
import subprocess
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from typer.testing import CliRunner

from provost_sdk.certs.authority import OTHERS, SERVICES, Authority, CertificateError, create, show
from provost_sdk.cli.app import app

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_from_an_authority_to_certificates_of_everybody(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    assert run("certs", "init", directory)[0] == 0
    assert (directory / "ca.key").stat().st_mode & 0o777 == 0o600
    code, said = run("certs", "issue", directory, "--all", "--hours", "24", "--host", "edge.example.org")
    assert code == 0, said
    assert sorted(each.parent.name for each in directory.glob("*/tls.crt")) == sorted(SERVICES + OTHERS)
    shown = show(directory / "policy" / "tls.crt", datetime.now(UTC))
    assert (shown.name, shown.problem) == ("policy", "")
    assert set(shown.names) == {"policy", "localhost", "127.0.0.1", "edge.example.org"}
    assert {"nats-1", "nats-2", "nats-3"} <= set(show(directory / "nats" / "tls.crt", NOW).names)
    assert (directory / "policy" / "tls.key").stat().st_mode & 0o777 == 0o600
    code, said = run("certs", "show", directory)
    assert (code, said.count(" good ")) == (0, len(SERVICES + OTHERS) + 1)


def test_an_authority_is_never_overwritten(tmp_path: Path) -> None:
    assert run("certs", "init", tmp_path)[0] == 0
    before = (tmp_path / "ca.key").read_bytes()
    code, said = run("certs", "init", tmp_path)
    assert (code, "take another directory" in said) == (2, True)
    assert run("certs", "init", tmp_path, "--if-none") == (0, "")
    assert (tmp_path / "ca.key").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("issue", "DIR", "policy"), "`provost certs init"),
        (("renew", "DIR"), "`provost certs init"),
        (("show", "DIR/x"), "is not there"),
        (("issue", "CA"), "name a service, or say --all"),
        (("issue", "CA", "policy", "--all"), "name services, or say --all"),
        (("issue", "CA", "postman"), "there is no service 'postman'"),
        (("issue", "CA", "policy", "--host", "no such näme"), "neither an address nor a name in DNS"),
        (("issue", "CA", "policy", "--hours", "9000"), "the authority itself ends at"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    create(tmp_path / "CA", 30.0, datetime.now(UTC))
    places = {"DIR": str(tmp_path), "CA": str(tmp_path / "CA"), "DIR/x": str(tmp_path / "x")}
    code, told = run("certs", *(places.get(each, each) for each in arguments))
    assert code == 2
    assert said in told


def test_a_third_before_its_end_a_certificate_is_due_and_keeps_its_names(tmp_path: Path) -> None:
    create(tmp_path, 30.0, NOW)
    Authority(tmp_path, lambda: NOW).issue("policy", 24.0, ("edge",))
    assert not Authority(tmp_path, lambda: NOW + timedelta(hours=15.8)).due("policy")
    later = Authority(tmp_path, lambda: NOW + timedelta(hours=16.2))
    assert later.due("policy")
    assert later.due("state")  # it has none
    assert later.issue("policy", 24.0, later.hosts("policy")).names == (
        "policy",
        "edge",
        "localhost",
        "127.0.0.1",
    )
    assert not later.due("policy")


def test_expired_and_strange_certificates_are_shown_as_that(tmp_path: Path) -> None:
    create(tmp_path, 300.0, datetime.now(UTC) - timedelta(days=2))
    Authority(tmp_path, lambda: datetime.now(UTC) - timedelta(days=1)).issue("policy", 1.0)
    code, said = run("certs", "show", tmp_path)
    assert (code, "expired at" in said) == (1, True)
    assert run("certs", "renew", tmp_path)[0] == 0
    assert run("certs", "show", tmp_path)[0] == 0
    create(tmp_path / "other", 300.0, datetime.now(UTC))
    (tmp_path / "policy" / "ca.crt").write_bytes((tmp_path / "other" / "ca.crt").read_bytes())
    assert "not issued by the authority in" in run("certs", "show", tmp_path / "policy" / "tls.crt")[1]


def test_a_key_that_is_not_the_authoritys_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        create(tmp_path / name, 1.0, NOW)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(CertificateError, match="is not the key of"):
        Authority(tmp_path / "one")


def configured(file: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The interface and the peers of a file, read as `wg-quick` reads it."""
    interface: dict[str, str] = {}
    peers: list[dict[str, str]] = []
    for part in file.read_text().split("[Peer]"):
        parser = configparser.ConfigParser()
        parser.read_string(part if "[Interface]" in part else "[Peer]" + part)
        (peers.append(dict(parser["Peer"])) if "Peer" in parser else interface.update(parser["Interface"]))
    return interface, peers


def test_an_overlay_whose_keys_match_and_stay_when_a_host_is_added(tmp_path: Path) -> None:
    code, said = run(
        "overlay",
        tmp_path,
        "--host",
        "one=203.0.113.1",
        "--host",
        "two=[2001:db8::2]:4500",
        "--host",
        "edge=",
    )
    assert code == 0, said
    before = (tmp_path / "one.conf").read_text()
    interface, peers = configured(tmp_path / "one.conf")
    assert interface["listenport"] == "51820"
    assert {each["allowedips"] for each in peers} | {interface["address"].replace("/24", "/32")} == {
        "10.88.0.1/32", "10.88.0.2/32", "10.88.0.3/32"
    }  # fmt: skip
    files = {name: configured(tmp_path / f"{name}.conf") for name in ("one", "two", "edge")}
    for name, (own, _) in files.items():
        key = (
            X25519PrivateKey.from_private_bytes(b64decode(own["privatekey"])).public_key().public_bytes_raw()
        )
        seen = [
            peer for other, (_, peers) in files.items() if other != name
            for peer in peers if b64decode(peer["publickey"]) == key
        ]  # fmt: skip
        assert len(seen) == 2, f"both others know {name}"
        assert {each["allowedips"] for each in seen} == {own["address"].replace("/24", "/32")}
        for peer in files[name][1]:  # both ends of every pair share one key
            other = next(
                each for each, (mine, _) in files.items() if mine["address"][:-3] == peer["allowedips"][:-3]
            )
            back = [each for each in files[other][1] if each["allowedips"][:-3] == own["address"][:-3]]
            assert [each["presharedkey"] for each in back] == [peer["presharedkey"]]
    assert files["two"][0]["listenport"] == "4500"
    assert "endpoint" not in next(
        each for each in peers if each["allowedips"] == files["edge"][0]["address"][:-2] + "32"
    )
    assert {each.stat().st_mode & 0o777 for each in tmp_path.glob("*.conf")} == {0o600}

    assert run("overlay", tmp_path, "--host", "four=203.0.113.4")[0] == 0
    after = (tmp_path / "one.conf").read_text()
    assert after.startswith(before[: before.index("[Peer]")])
    assert after.count("[Peer]") == 3
    assert (tmp_path / "hosts").read_text().splitlines() == [
        "10.88.0.3 edge", "10.88.0.4 four", "10.88.0.1 one", "10.88.0.2 two"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("one", "say where it is"),
        ("One_=1.2.3.4", "is no name of a host"),
        ("one=1.2.3.4; rm", "is no endpoint"),
        ("one=", "nobody can be called"),
    ],
)
def test_an_overlay_that_cannot_be_is_refused(tmp_path: Path, host: str, said: str) -> None:
    code, told = run("overlay", tmp_path, "--host", host)
    assert (code, said in told) == (2, True), told


def test_the_authority_is_changed_by_the_commands_of_the_documentation(tmp_path: Path) -> None:
    text = Path("docs/certificates.md").read_text().partition("## To change the authority")[2]
    commands = text.split("```")[1].strip().splitlines()
    assert run("certs", "init", tmp_path / "certs")[0] == 0
    assert run("certs", "issue", tmp_path / "certs", "policy")[0] == 0
    signed, believed = list[bytes](), list[int]()
    for command in commands:
        if command.startswith("provost "):
            first, second, directory, *more = command.split()[1:]
            assert run(first, second, tmp_path / directory, *more)[0] == 0, command
        else:
            subprocess.run(["sh", "-euc", command], cwd=tmp_path, check=True)
        if " issue " in command:
            found = x509.load_pem_x509_certificates((tmp_path / "certs/policy/ca.crt").read_bytes())
            shown = x509.load_pem_x509_certificate((tmp_path / "certs/policy/tls.crt").read_bytes())
            shown.verify_directly_issued_by(found[0])
            signed.append(found[0].fingerprint(SHA256()))
            believed.append(len(found))
    old, new = ((tmp_path / name / "ca.crt").read_bytes() for name in ("old", "new"))
    own = [x509.load_pem_x509_certificate(each).fingerprint(SHA256()) for each in (old, new)]
    assert (signed, believed) == ([own[0], own[1], own[1]], [2, 2, 1])


def test_while_the_authority_is_changed_both_are_believed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        create(tmp_path / name, 30.0, datetime.now(UTC))
    old, new = ((tmp_path / name / "ca.crt").read_bytes() for name in ("old", "new"))
    (tmp_path / "old" / "ca.crt").write_bytes(old + new)
    (tmp_path / "new" / "ca.crt").write_bytes(new + old)
    for name in ("old", "new"):
        shown = Authority(tmp_path / name).issue("policy", 1.0)
        assert shown.problem == ""
        believed = (tmp_path / name / "policy" / "ca.crt").read_bytes()
        assert old in believed
        assert new in believed
