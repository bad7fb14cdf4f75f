"""What was lent to an agent is gone with its token: a user of a real PostgreSQL."""

import urllib.error
from dataclasses import replace
from datetime import timedelta

import asyncpg  # type: ignore[import-untyped]
import pytest

from chassis.vault.bootstrap import Postgres
from services.policy.adapters.identity_vault import AppRoleIdentity
from services.policy.domain.credentials import SessionCreated
from services.policy.domain.tier import Tier
from tests.fakes.bao_server import BaoServer
from tests.fakes.postgres_server import PostgresServer, new_database, postgres_server
from tests.integration.vault.test_bootstrap import agent_of
from tests.unit.policy.words import AT

__all__ = ["postgres_server"]


async def test_a_revoked_agents_user_of_a_database_is_gone_with_its_token(
    bao_server: BaoServer, postgres_server: PostgresServer
) -> None:
    url = await new_database(postgres_server)
    admin = await asyncpg.connect(url)
    await admin.execute("CREATE ROLE readers NOLOGIN")
    await bao_server.bootstrap(postgres=Postgres(url, "readers", name="agents-reports"))
    vault = bao_server.as_service("policy")
    await vault.start()
    try:
        identity, agent = AppRoleIdentity(vault), agent_of(Tier.T3_EXECUTOR)
        made = await identity.new_secret("default", agent)
        credentials = {"role_id": agent.role_id, "secret_id": made.secret_id}
        token = bao_server.ask("POST", "auth/agents/login", credentials, token="")["auth"]
        lent = bao_server.ask("GET", "database/creds/agents-reports", token=token["client_token"])["data"]
        parts = url.rpartition("@")[2]
        as_lent = await asyncpg.connect(f"postgresql://{lent['username']}:{lent['password']}@{parts}")
        assert await as_lent.fetchval("SELECT pg_has_role('readers', 'MEMBER')")
        await as_lent.close()

        session = SessionCreated("sre-1", "s", agent.tier, AT, AT + timedelta(seconds=900), token["accessor"])
        assert await identity.end("default", replace(agent, sessions=(session,))) == 1

        with pytest.raises(urllib.error.HTTPError) as gone:
            bao_server.ask("POST", "auth/token/lookup-accessor", {"accessor": token["accessor"]})
        assert gone.value.code in {400, 403, 404}
        assert not await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", lent["username"])
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(f"postgresql://{lent['username']}:{lent['password']}@{parts}")
    finally:
        await vault.stop()
        await admin.close()
