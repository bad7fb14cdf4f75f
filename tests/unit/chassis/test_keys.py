"""Keys of an embedded run: made once, private, added to what the user gave."""

from pathlib import Path

import pytest

from chassis.embedded import keys


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    first, again = keys.load_or_create(tmp_path / "keys"), keys.load_or_create(tmp_path / "keys")
    assert first == again
    assert set(first.api) == {"operator", "approver", "viewer", "auditor", "admin"}
    secrets = [first.internal, first.store, first.nats, *first.api.values()]
    assert len(set(secrets)) == len(secrets)
    assert all(len(each) >= 32 and "," not in each and ":" not in each for each in secrets)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_what_the_user_gave_stays(tmp_path: Path) -> None:
    made = keys.load_or_create(tmp_path)
    given = made.api_keys(" mine,viewer@acme:theirs, ").split(",")
    assert given[:2] == ["mine", "viewer@acme:theirs"]
    assert given[2:] == [f"{role}:{made.api[role]}" for role in ("operator", "approver", "viewer", "auditor")]
    assert made.api_keys("").split(",") == given[2:]
    assert made.admin_keys("root").split(",") == ["root", made.api["admin"]]
    assert made.admin_keys("") == made.api["admin"]


def test_keys_others_may_read_are_refused(tmp_path: Path) -> None:
    keys.load_or_create(tmp_path)
    (tmp_path / "internal").chmod(0o644)
    with pytest.raises(PermissionError, match="internal"):
        keys.load_or_create(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"operator": "x"}', "not json"])
def test_damaged_keys_are_refused_by_name(tmp_path: Path, content: str) -> None:
    keys.load_or_create(tmp_path)
    (tmp_path / "api-keys.json").write_text(content)
    with pytest.raises(ValueError, match="api-keys.json is damaged"):
        keys.load_or_create(tmp_path)
