"""Keys: how they are written, whose they are, and that nothing tells what they hold."""

import pytest

from kernel.faults import Invalid
from services.gateway.domain.callers import ANONYMOUS, Keyring, Role, parse_keys
from services.gateway.domain.faults import KeyMissing, KeyUnknown

KEY = "a-long-enough-key-0123"


def only(entries: str, plain: Role = Role.OPERATOR) -> tuple[str, frozenset[Role], str]:
    (key,) = parse_keys(entries, plain)
    return key.caller.tenant, key.caller.roles, key.caller.actor


def test_a_plain_key_is_what_its_list_says() -> None:
    assert only(KEY)[1] == {Role.VIEWER, Role.OPERATOR}
    assert only(KEY, Role.ADMIN)[1] == frozenset(Role)


def test_role_and_tenant_stand_before_the_key() -> None:
    assert only(f"viewer:{KEY}")[:2] == ("default", frozenset({Role.VIEWER}))
    assert only(f"approver@acme:{KEY}")[:2] == ("acme", frozenset({Role.APPROVER, Role.VIEWER}))


def test_an_approver_is_no_operator_and_an_operator_no_approver() -> None:
    assert Role.OPERATOR not in only(f"approver:{KEY}")[1]
    assert Role.APPROVER not in only(f"operator:{KEY}")[1]


def test_blanks_and_empty_entries_do_not_count() -> None:
    assert len(parse_keys(f" , {KEY} ,, viewer:{KEY}x ,", Role.OPERATOR)) == 2


@pytest.mark.parametrize(
    "entries",
    [f"boss:{KEY}", f"viewer@:{KEY}", f"viewer@a.b:{KEY}", "viewer:", "with space", "schlüssel", f":{KEY}"],
)
def test_what_cannot_be_read_is_refused_without_being_shown(entries: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_keys(f"{KEY},{entries}", Role.OPERATOR)
    assert "entry 2" in refused.value.text
    assert KEY not in refused.value.text


def test_a_label_is_the_same_every_time_and_does_not_hold_the_key() -> None:
    label = only(KEY)[2]
    assert label == only(KEY)[2]
    assert label.startswith("key:operator-")
    assert KEY not in label
    assert label != only(f"{KEY}4")[2]


def test_metrics_name_tenants_of_keys_alone_and_a_hundred_of_them() -> None:
    keys = Keyring(parse_keys(",".join(f"viewer@t{n}:{KEY}-{n}" for n in range(120)), Role.OPERATOR))
    shown = [keys.shown(f"t{n}", "key:viewer-1") for n in range(120)]
    assert shown == [f"t{n}" for n in range(99)] + ["other"] * 21
    assert keys.shown("default", "key:operator-1") == "default"
    assert keys.shown("t1", "key:none") == keys.shown("t1", "") == "", "who only says so is of none"
    assert Keyring(()).shown(ANONYMOUS.tenant, ANONYMOUS.actor) == "default"


def test_the_keyring_knows_its_keys_and_no_others() -> None:
    keys = Keyring(parse_keys(f"{KEY},viewer:{KEY}-2", Role.OPERATOR))
    assert keys.caller(KEY).roles == {Role.VIEWER, Role.OPERATOR}
    assert keys.caller(f"{KEY}-2").roles == {Role.VIEWER}
    with pytest.raises(KeyMissing):
        keys.caller("")
    for wrong in (KEY[:-1], KEY + " ", "x" * 100_000, "\udcff", KEY.upper()):
        with pytest.raises(KeyUnknown):
            keys.caller(wrong)


def test_without_keys_the_door_is_open_and_says_so() -> None:
    keys = Keyring(())
    assert keys.open
    assert keys.caller("") == keys.caller("anything") == ANONYMOUS
    assert keys.warning is not None
    assert "No API key is configured" in keys.warning


def test_short_keys_are_warned_about_by_their_label() -> None:
    warning = Keyring(parse_keys("short", Role.OPERATOR)).warning
    assert warning is not None
    assert "short," not in warning.partition(":")[2]
    assert "operator-" in warning
    assert Keyring(parse_keys(KEY, Role.OPERATOR)).warning is None


def test_one_key_cannot_have_two_meanings() -> None:
    with pytest.raises(Invalid, match="twice"):
        Keyring(parse_keys(f"{KEY},viewer:{KEY}", Role.OPERATOR))
