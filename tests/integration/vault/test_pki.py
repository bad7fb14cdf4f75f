"""Certificates from a real OpenBao: each service gets its own and nobody else's, and they are kept fresh."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.certs.keeping import Keeping
from chassis.process import now
from chassis.tls.certificates import Certificates
from chassis.vault.bootstrap import bootstrap
from chassis.vault.pki import Issued, issue, make_ready
from kernel.faults import Unavailable
from tests.fakes.bao_server import KEY, BaoServer


@pytest.fixture
async def authority(bao_server: BaoServer) -> BaoServer:
    vault = bao_server.as_root()
    await vault.start()
    for _ in range(2):  # it may be repeated
        await bootstrap(vault, bao_server.roles, {"services/internal": {"key": KEY}}, certificates=True)
    await vault.stop()
    return bao_server


async def test_a_service_gets_a_certificate_of_its_own_and_of_nobody_else(
    authority: BaoServer, tmp_path: Path
) -> None:
    vault = authority.as_service("policy")
    await vault.start()
    made = await issue(vault, "policy", 1.0)
    places = [tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt")]
    for place, content in zip(places, (made.certificate, made.key, made.authority), strict=True):
        place.write_bytes(content)
    material = Certificates(*places).current()
    assert material.service == "policy"
    assert timedelta(minutes=59) < material.not_after - now() <= timedelta(hours=1)
    with pytest.raises(Unavailable, match="does not let this process"):
        await issue(vault, "ledger", 1.0)
    await vault.stop()
    root = authority.as_root()
    await root.start()
    with pytest.raises(Unavailable):  # nor does its role give it another name, whoever asks
        await root.write("pki/issue/policy", {"common_name": "policy", "uri_sans": "spiffe://provost/ledger"})
    await root.stop()


async def test_the_authority_stays_the_same(authority: BaoServer) -> None:
    vault = authority.as_root()
    await vault.start()
    before = (await issue(vault, "state", 1.0)).authority
    await make_ready(vault, ("state",))
    assert (await issue(vault, "state", 1.0)).authority == before
    await vault.stop()


async def test_two_thirds_of_its_life_are_used(authority: BaoServer, tmp_path: Path) -> None:
    vault, asked = authority.as_service("state"), 0
    await vault.start()
    later = timedelta()

    async def again() -> Issued:
        nonlocal asked
        asked += 1
        return await issue(vault, "state", 3.0)

    places = [tmp_path / "state" / name for name in ("tls.crt", "tls.key", "ca.crt")]
    keeping = Keeping("state", places, again, lambda: now() + later)
    assert await keeping.once()
    assert not await keeping.once()
    assert [each.stat().st_mode & 0o777 for each in places] == [0o600] * 3
    later = timedelta(hours=1, minutes=58)
    assert not await keeping.once()
    later = timedelta(hours=2, minutes=1)
    assert await keeping.once()
    assert asked == 2
    await vault.stop()


def test_the_command_puts_them_where_services_look(authority: BaoServer, tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PROVOST_HOME": str(tmp_path),
        "VAULT_URL": authority.url,
        "PROVOST_VAULT_ROLE_ID_FILE": str(authority.roles / "{service}.role-id"),
        "PROVOST_VAULT_SECRET_ID_FILE": str(authority.roles / "{service}.secret-id"),
        **{
            f"PROVOST_TLS_{name}_FILE": f"certs/{{service}}/{file}"
            for name, file in (("CERT", "tls.crt"), ("KEY", "tls.key"), ("CA", "ca.crt"))
        },
    }
    done = subprocess.run(
        [sys.executable, "-m", "chassis.certs", "policy", "agents", "--once"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for service in ("policy", "agents"):
        of = tmp_path / "certs" / service
        assert Certificates(of / "tls.crt", of / "tls.key", of / "ca.crt").current().service == service
    without = subprocess.run(
        [sys.executable, "-m", "chassis.certs", "policy"],
        env={"PATH": "/usr/bin:/bin", "PROVOST_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "provost certs renew DIR --all --keep" in without.stderr
