"""A process that is to show a certificate begins when it has one, and says for what it waits."""

import asyncio
from pathlib import Path

import pytest

from chassis import process
from chassis.config import ServiceSettings
from chassis.tls import certificates, waiting
from tests.fakes.certificates import Issued
from tests.fakes.wait import until


@pytest.fixture
def issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issued:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "AGAIN_SECONDS", 0.01)
    return Issued(tmp_path / "ca")


def settings(issued: Issued) -> ServiceSettings:
    return ServiceSettings(_env_file=None, **issued.settings())  # type: ignore[arg-type]


async def test_it_waits_for_one_that_is_good(issued: Issued, capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def says(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return text in said

    beginning = asyncio.create_task(waiting.ready(settings(issued), "policy", process.Stopping()))
    await until(lambda: says("policy/tls.crt cannot be read (No such file or directory)"), "it says which")
    issued.expired("policy")
    await until(lambda: says("the certificate of policy expired at"), "it says that it expired")
    assert not beginning.done()
    issued.issue("policy")
    async with asyncio.timeout(10):
        await beginning


async def test_asked_to_stop_it_ends(issued: Issued) -> None:
    stopping = process.Stopping()
    stopping.set()
    with pytest.raises(SystemExit) as ended:
        await waiting.ready(settings(issued), "policy", stopping)
    assert ended.value.code == 0


async def test_without_files_it_begins_at_once() -> None:
    await waiting.ready(ServiceSettings(_env_file=None), "policy", process.Stopping())


def test_all_three_files_are_given_or_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set all or none"):
        ServiceSettings(_env_file=None, tls_cert_file=tmp_path)
    with pytest.raises(ValueError, match="belong together"):
        ServiceSettings(_env_file=None, gateway_tls_cert_file=tmp_path)
