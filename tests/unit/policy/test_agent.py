"""An agent: its registration, secrets, sessions and the end of its power."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.faults import Fault
from services.policy.domain import secret
from services.policy.domain.agent import (
    AGENT,
    REMEMBERED_SESSIONS,
    Agent,
    AgentState,
    Command,
    RegisterAgent,
)
from services.policy.domain.credentials import CreateSecret, CreateSession, UnwrapSecret
from services.policy.domain.faults import (
    AgentAlreadyRegistered,
    AgentAlreadyRevoked,
    AgentIsRevoked,
    AgentUnknown,
    CredentialsRefused,
    TierMoved,
)
from services.policy.domain.revocation import RevokeAgent
from services.policy.domain.tier import Tier
from tests.unit.policy.words import AT, later

REGISTER = RegisterAgent("sre-1", Tier.T1_OPERATOR, "1.0", "role-1", AT)
REVOKE = RevokeAgent("sre-1", "operator", "enough", "key:ops", AT)


def after(*commands: Command) -> Agent:
    agent = AGENT.initial
    for command in commands:
        event = AGENT.decide(agent, command)
        agent = agent if event is None else AGENT.evolve(agent, event)
    return agent


def new_secret(plain: str) -> CreateSecret:
    return CreateSecret("sre-1", secret.hashed(plain, f"salt-of-{plain}"), AT)


def session(
    plain: str, *, session_id: str = "s1", role_id: str = "role-1", tier: Tier = Tier.T1_OPERATOR
) -> CreateSession:
    return CreateSession(role_id, secret.hashed(plain, f"salt-of-{plain}"), session_id, tier, 1800, AT)


def test_a_session_is_not_opened_for_a_tier_that_the_agent_no_longer_has() -> None:
    with pytest.raises(TierMoved):
        after(REGISTER, new_secret("one"), session("one", tier=Tier.T2_BUILDER))


def test_registering_again_at_the_same_tier_changes_nothing() -> None:
    assert after(REGISTER, REGISTER) == after(REGISTER)
    with pytest.raises(AgentAlreadyRegistered):
        after(REGISTER, RegisterAgent("sre-1", Tier.T2_BUILDER, "1.0", "role-1", AT))


@pytest.mark.parametrize("command", [new_secret("one"), REVOKE])
def test_an_unknown_agent_gets_nothing(command: Command) -> None:
    with pytest.raises(AgentUnknown):
        after(command)


def test_a_secret_opens_a_session_for_the_ttl() -> None:
    agent = after(REGISTER, new_secret("one"), session("one"))
    opened = agent.session("s1")
    assert opened is not None
    assert (opened.tier, opened.expire_time) == (Tier.T1_OPERATOR, later(1800))
    assert after(REGISTER, new_secret("one"), session("one"), session("one")) == agent


@pytest.mark.parametrize(
    "commands",
    [
        (session("one"),),
        (REGISTER, session("one")),
        (REGISTER, new_secret("one"), session("two")),
        (REGISTER, new_secret("one"), session("one", role_id="role-2")),
        (REGISTER, new_secret("one"), session("")),
        (REGISTER, new_secret("one"), REVOKE, session("two")),
    ],
)
def test_wrong_credentials_are_all_refused_alike(commands: tuple[Command, ...]) -> None:
    with pytest.raises(CredentialsRefused) as refused:
        after(*commands)
    assert refused.value.text == CredentialsRefused().text


def test_a_secret_is_good_until_replaced_twice() -> None:
    two = (REGISTER, new_secret("one"), new_secret("two"))
    assert after(*two, session("one")).session("s1")
    with pytest.raises(CredentialsRefused):
        after(*two, new_secret("three"), session("one"))
    assert after(*two, new_secret("three"), session("two")).session("s1")


def test_only_the_last_sessions_are_remembered() -> None:
    many = [session("one", session_id=f"s{n}") for n in range(REMEMBERED_SESSIONS + 1)]
    agent = after(REGISTER, new_secret("one"), *many)
    assert agent.session("s0") is None
    assert agent.session("s1") is not None


def test_the_revoked_get_nothing_more() -> None:
    revoked = (REGISTER, new_secret("one"), REVOKE)
    assert after(*revoked).state is AgentState.REVOKED
    for command, fault in (
        (new_secret("two"), AgentIsRevoked),
        (session("one"), AgentIsRevoked),
        (REVOKE, AgentAlreadyRevoked),
    ):
        with pytest.raises(fault):
            after(*revoked, command)


@given(
    st.lists(
        st.sampled_from(
            [REGISTER, REVOKE, new_secret("one"), session("one"), session("two", session_id="s2")]
        )
    )
)
def test_revoked_is_for_good(commands: list[Command]) -> None:
    agent, was_revoked = AGENT.initial, False
    for command in commands:
        try:
            event = AGENT.decide(agent, command)
        except Fault:
            continue
        agent = agent if event is None else AGENT.evolve(agent, event)
        was_revoked = was_revoked or command is REVOKE
        assert (agent.revoked is not None) == was_revoked


@given(st.text(), st.text(), st.text(alphabet="abc123", min_size=1))
def test_a_hash_fits_its_secret_alone(plain: str, other: str, salt: str) -> None:
    kept = secret.hashed(plain, salt)
    assert secret.matches(plain, kept)
    assert secret.matches(other, kept) == (plain == other)


def test_no_secret_shows_when_a_command_is_printed() -> None:
    assert "hush" not in repr(UnwrapSecret("sre-1", "w1", "hush", "", AT))
