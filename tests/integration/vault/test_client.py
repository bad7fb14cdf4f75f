"""A process's way to Vault: it stays logged in, waits for nobody too long, and says what is wrong and no secret."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from chassis.vault.client import Refused, Vault
from chassis.vault.entry import AppRole, TokenFile
from kernel.faults import Unavailable
from tests.contract.book.tls import certificate
from tests.fakes.bao_server import KEY, BaoServer
from tests.fakes.process import free_port
from tests.fakes.wait import until

PERIOD_SECONDS = 2


async def test_its_token_is_renewed_and_replaced_when_it_is_taken_away(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    bao_server.ask("POST", "auth/services/role/state", {"token_period": f"{PERIOD_SECONDS}s"})
    vault = bao_server.as_service("state")
    await vault.start()
    try:
        first = await accessor(vault)
        begun = asyncio.get_running_loop().time()
        await until(
            lambda: asyncio.get_running_loop().time() - begun > 2 * PERIOD_SECONDS, "two periods are over"
        )
        assert await accessor(vault) == first
        bao_server.ask("POST", "auth/token/revoke-accessor", {"accessor": first})
        assert await vault.secret("services/internal") == {"key": KEY}
        assert await accessor(vault) != first
        assert vault.trouble == ""
    finally:
        await vault.stop()


async def accessor(vault: Vault) -> str:
    """Of the token it works with."""
    found = await vault.read("auth/token/lookup-self")
    assert found is not None
    return str(found["data"]["accessor"])


async def test_stopped_it_gives_its_token_back(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    vault = bao_server.as_service("gateway")
    await vault.start()
    mine = await accessor(vault)
    await vault.stop()
    assert mine not in bao_server.ask("LIST", "auth/token/accessors")["data"]["keys"]


async def test_a_vault_that_hangs_is_not_waited_for(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    entry = AppRole(bao_server.roles / "state.role-id", bao_server.roles / "state.secret-id")
    vault = Vault(bao_server.url, entry, deadline_seconds=0.3, look_seconds=0.05)
    await vault.start()
    try:
        bao_server.pause()
        try:
            async with asyncio.timeout(1.5):
                with pytest.raises(Unavailable) as refused:
                    await vault.secret("services/internal")
            assert "does not answer in time" in refused.value.text
            await until(lambda: "in time" in vault.trouble, "it knows that Vault does not answer")
        finally:
            bao_server.resume()
        await until(lambda: vault.trouble == "", "it goes on by itself")
        assert await vault.secret("services/internal") == {"key": KEY}
    finally:
        await vault.stop()


async def test_what_keeps_it_out_is_said_without_what_was_shown(
    bao_server: BaoServer, tmp_path: Path
) -> None:
    await bao_server.bootstrap()
    role_id, secret_id, nothing = (
        bao_server.roles / "state.role-id",
        tmp_path / "secret",
        tmp_path / "nothing",
    )
    secret_id.write_text("a-canary-that-is-wrong")
    nowhere = f"http://127.0.0.1:{free_port()}"
    for url, entry, said in (
        (bao_server.url, AppRole(role_id, secret_id), "does not know what this process shows it"),
        (bao_server.url, TokenFile(secret_id), "does not know what this process shows it"),
        (bao_server.url, AppRole(role_id, nothing), str(nothing)),
        (nowhere, AppRole(role_id, secret_id), "does not answer"),
        ("http://localhost.invalid:1", TokenFile(secret_id), "does not answer"),
    ):
        vault = Vault(url, entry)
        with pytest.raises(Unavailable) as refused:
            await vault.start()
        assert refused.value.reason == "VAULT_UNREACHABLE"
        assert said in refused.value.text
        assert "a-canary" not in repr((refused.value, refused.value.facts, refused.value.__context__))
        await vault.stop()


async def test_what_it_may_not_do_is_said_to_be_a_matter_of_the_bootstrap(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    vault = bao_server.as_service("agents")
    await vault.start()
    try:
        with pytest.raises(Unavailable) as refused:
            await vault.secret("services/dragonfly")
        assert "python -m chassis.vault" in refused.value.text
        with pytest.raises(Refused):
            await vault.write_as("", "auth/services/login", {"role_id": "x", "secret_id": "y"})
    finally:
        await vault.stop()


async def test_a_token_in_a_file_does_as_well(bao_server: BaoServer) -> None:
    await bao_server.bootstrap()
    vault = bao_server.as_root()
    await vault.start()
    try:
        assert await vault.secret("services/internal") == {"key": KEY}
        assert await vault.secret("services/nothing") is None
    finally:
        await vault.stop()


async def test_over_tls_it_speaks_to_whom_its_authority_vouches_for_alone(
    bao_server: BaoServer, tmp_path: Path
) -> None:
    await bao_server.bootstrap()
    authority, key = certificate(tmp_path)
    entry = AppRole(bao_server.roles / "state.role-id", bao_server.roles / "state.secret-id")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", bao_server.port)
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))

    async with await asyncio.start_server(enter, "127.0.0.1", 0, ssl=context) as door:
        url = f"https://127.0.0.1:{door.sockets[0].getsockname()[1]}"
        trusting, doubting = Vault(url, entry, authority), Vault(url, entry)
        await trusting.start()
        assert await trusting.secret("services/internal") == {"key": KEY}
        with pytest.raises(Unavailable) as refused:
            await doubting.start()
        assert "PROVOST_VAULT_CA_FILE" in refused.value.text
        await asyncio.gather(trusting.stop(), doubting.stop())


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    writer.close()
