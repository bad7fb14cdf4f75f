"""Who is let in, who is turned away, and what is written down of it."""

import pytest

from services.gateway.domain.callers import Keyring, Role
from services.gateway.domain.faults import AskedWithin, KeyMissing, KeyUnknown, RateLimited, RoleMissing
from services.gateway.domain.rights import BEARER, CHECKER, OPERATOR, PUBLIC, WITHIN
from services.gateway.handlers import Knock
from tests.fakes import doors
from tests.fakes.doors import FakeMeter, House

METHOD = "POST /api/process_log"


def knock(key: str, tenant: str = "") -> Knock:
    return Knock(key, METHOD, "10.0.0.1", tenant)


async def test_a_key_with_the_role_comes_in(house: House) -> None:
    caller = await house.gateway.admit(knock(doors.OPERATOR), OPERATOR)
    assert (caller.tenant, caller.roles) == ("default", frozenset({Role.VIEWER, Role.OPERATOR}))
    assert house.refusals.noted == []


async def test_any_one_of_several_roles_is_enough(house: House) -> None:
    assert (await house.gateway.admit(knock(doors.OPERATOR), CHECKER)).tenant == "default"


@pytest.mark.parametrize(
    ("key", "fault", "reason"),
    [
        ("", KeyMissing, "KEY_MISSING"),
        ("not-one-of-ours", KeyUnknown, "KEY_UNKNOWN"),
        (doors.VIEWER, RoleMissing, "ROLE_MISSING"),
    ],
)
async def test_who_is_turned_away_is_written_down_without_the_key(
    house: House, key: str, fault: type[Exception], reason: str
) -> None:
    with pytest.raises(fault, match=r": send |needs a key with role operator"):
        await house.gateway.admit(knock(key), OPERATOR)
    (noted,) = house.refusals.noted
    assert (noted["reason"], noted["method"], noted["peer"]) == (reason, METHOD, "10.0.0.1")
    assert not key or key not in str(noted)
    assert noted["actor"].startswith("key:viewer-") == (key == doors.VIEWER)


async def test_what_services_ask_each_other_no_key_may(house: House) -> None:
    with pytest.raises(KeyMissing):
        await house.gateway.admit(knock(""), WITHIN)
    for key in (doors.VIEWER, doors.ADMIN):
        with pytest.raises(AskedWithin, match="start a run, which does it by itself"):
            await house.gateway.admit(knock(key), WITHIN)
    assert [noted["reason"] for noted in house.refusals.noted] == ["KEY_MISSING", *["ROLE_MISSING"] * 2]
    with pytest.raises(AskedWithin):
        await House(keys=Keyring(())).gateway.admit(knock(""), WITHIN)


async def test_a_refusal_belongs_to_the_tenant_of_the_key() -> None:
    house = House(meter=FakeMeter(left=0))
    with pytest.raises(RateLimited):
        await house.gateway.admit(knock(doors.OTHER), OPERATOR)
    assert house.refusals.noted[0]["tenant"] == "acme"


async def test_each_key_has_a_rate_of_its_own() -> None:
    house = House(meter=FakeMeter(left=2))
    for _ in range(2):
        await house.gateway.admit(knock(doors.OPERATOR), OPERATOR)
    with pytest.raises(RateLimited) as limited:
        await house.gateway.admit(knock(doors.OPERATOR), OPERATOR)
    assert float(limited.value.facts["retry_after_seconds"]) == 12.5
    await house.gateway.admit(knock(doors.ADMIN), OPERATOR)
    assert [noted["reason"] for noted in house.refusals.noted] == ["RATE_LIMITED"]


async def test_keys_cannot_be_tried_out_at_will() -> None:
    house = House(meter=FakeMeter(left=3))
    for n in range(3):
        with pytest.raises(KeyUnknown):
            await house.gateway.admit(knock(f"guess-{n}"), OPERATOR)
    with pytest.raises(RateLimited):
        await house.gateway.admit(knock("guess-4"), OPERATOR)
    assert set(house.meter.taken) == {"wrong/10.0.0.1"}
    assert len(house.refusals.noted) == 4
    assert (await house.gateway.admit(knock(doors.OPERATOR), OPERATOR)).tenant == "default"


async def test_what_is_public_is_neither_asked_nor_counted(house: House) -> None:
    caller = await house.gateway.admit(knock("no-such-key"), PUBLIC)
    assert caller.roles == frozenset()
    assert house.meter.taken == []


async def test_bearers_of_other_credentials_are_counted_by_address_in_the_tenant_they_name(
    house: House,
) -> None:
    caller = await house.gateway.admit(knock("", tenant="acme"), BEARER)
    assert (caller.tenant, caller.roles) == ("acme", frozenset())
    assert house.meter.taken == ["bearer/10.0.0.1"]


async def test_strangers_with_wrong_keys_keep_no_agent_of_their_address_out() -> None:
    house = House(meter=FakeMeter(left=1))
    for fault in (KeyUnknown, RateLimited, RateLimited):
        with pytest.raises(fault):
            await house.gateway.admit(knock("guess"), OPERATOR)
    caller = await house.gateway.admit(knock("", tenant="acme"), BEARER)
    await house.gateway.admit_bearer(caller, "role-1", knock(""))
    with pytest.raises(RateLimited):
        await house.gateway.admit_bearer(caller, "role-1", knock(""))
    await house.gateway.admit_bearer(caller, "role-2", knock(""))


async def test_all_agents_at_an_address_share_ten_times_the_rate_of_a_key() -> None:
    house = House(meter=FakeMeter(left=1))
    for _ in range(10):
        await house.gateway.admit(knock("", tenant="acme"), BEARER)
    with pytest.raises(RateLimited):
        await house.gateway.admit(knock("", tenant="acme"), BEARER)


async def test_a_tenant_that_is_only_claimed_gets_no_log(house: House) -> None:
    for tenant in ("acme", "ghost17"):
        caller = await house.gateway.admit(knock("", tenant=tenant), BEARER)
        house.gateway.turned_away(caller, "CREDENTIALS_REFUSED", knock("", tenant=tenant))
    assert [each["tenant"] for each in house.refusals.noted] == ["acme", "default"]


async def test_a_bearer_with_a_key_is_who_the_key_says(house: House) -> None:
    caller = await house.gateway.admit(knock(doors.OPERATOR, tenant="acme"), BEARER)
    assert caller.tenant == "default"


async def test_a_tenant_that_is_named_with_a_key_counts_for_nothing(house: House) -> None:
    caller = await house.gateway.admit(knock(doors.OPERATOR, tenant="acme"), OPERATOR)
    assert caller.tenant == "default"


async def test_without_keys_everyone_comes_in() -> None:
    house = House(keys=Keyring(()))
    assert (await house.gateway.admit(knock(""), OPERATOR)).actor == "key:anonymous"
