"""docs/settings.md and .env.example, held against the settings classes: every name, every default, every reader."""

import importlib
import os
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from chassis import config, process
from chassis.config import ServiceSettings
from chassis.mistakes import CLIENT_NAMES, unknown_names

ROOT = Path(config.__file__).parent.parent
WITHOUT_EFFECT = {"LICENSE_SIGNING_SECRET"}
UNHONOURED = {"LLM_ENDPOINT": "http://user:hunter2@llm", "REQUIRE_LICENSE": "true"}


def classes() -> dict[str, type[ServiceSettings]]:
    """Every settings class, by whose it is."""
    homes = {
        path.parent.name: ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.glob("services/**/config.py")
    }
    found = {"supervisor": importlib.import_module("chassis.embedded.settings").Settings}
    for name, module in homes.items():
        (found[name],) = (
            each
            for each in vars(importlib.import_module(module)).values()
            if isinstance(each, type) and issubclass(each, ServiceSettings) and each is not ServiceSettings
        )
    return found


def shown(value: object) -> str:
    """A setting's value as people write it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def declared() -> dict[str, tuple[str, str]]:
    """Name to default and readers, as the classes have it."""
    found = dict.fromkeys(WITHOUT_EFFECT, ("", "nobody"))
    readers: dict[str, list[str]] = {}
    for owner, cls in sorted(classes().items()):
        made = cls(_env_file=None)
        for field, info in cls.model_fields.items():
            assert info.alias is not None
            shared = field in ServiceSettings.model_fields
            readers.setdefault(info.alias, []).append("every process" if shared else owner)
            found[info.alias] = (shown(getattr(made, field)), ", ".join(dict.fromkeys(readers[info.alias])))
    return found


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory, and none of our names in the environment."""
    aliases = {field.alias for cls in classes().values() for field in cls.model_fields.values()}
    for name in {*os.environ} & {*aliases, *WITHOUT_EFFECT}:
        monkeypatch.delenv(name)
    monkeypatch.setattr(process, "set_clock_offset", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_names_every_setting_its_default_and_its_readers() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| ([^|]+) \| ([^|]+) \|$",
        (ROOT / "docs" / "settings.md").read_text(),
        re.MULTILINE,
    )
    assert {name: (default, readers) for name, default, readers, _ in rows} == declared()
    refused = {name for name, _, _, what in rows if what.startswith("**refused")}
    assert refused == set(UNHONOURED)


def test_the_example_is_true_to_the_letter(bare: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    uncommented = re.sub(r"^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE)
    (bare / ".env").write_text(uncommented)
    written = {name: value or "" for name, value in dotenv_values(bare / ".env").items()}
    expected = {name: default for name, (default, _) in declared().items()}
    assert written == {
        name: each for name, each in expected.items() if name != "PROVOST_CLOCK_OFFSET_SECONDS"
    }
    for cls in classes().values():
        assert config.load(cls) == cls(_env_file=None)


@pytest.mark.parametrize("owner", ["supervisor", "policy", "orchestrator", "gateway"])
def test_what_cannot_be_honoured_is_refused_with_all_other_mistakes(
    owner: str, bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readers = {name: declared()[name][1].split(", ") for name in UNHONOURED}
    for name, value in UNHONOURED.items():
        monkeypatch.setenv(name, value)
    (bare / ".env").write_text("LOG_FORMAT=xml\n")
    with pytest.raises(SystemExit) as ended:
        config.load(classes()[owner])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    told = {re.split("[: ]", line)[0]: line for line in lines}
    mine = {name for name in UNHONOURED if owner in readers[name]}
    assert told.keys() == {*mine, "LOG_FORMAT"}
    for name in mine:
        assert "this version cannot honour it" in told[name]
        assert "unset it" in told[name]
    assert "hunter2" not in "".join(lines)


def test_every_promise_is_refused_by_the_supervisor_and_one_service() -> None:
    for name in UNHONOURED:
        owner, supervisor = declared()[name][1].split(", ")
        assert (supervisor, owner in {"gateway", "orchestrator", "policy"}) == ("supervisor", True)


def test_what_has_no_effect_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WITHOUT_EFFECT:
        monkeypatch.setenv(name, "something")
    for cls in classes().values():
        assert config.load(cls) == cls(_env_file=None)


def test_names_of_the_command_line_are_no_misspelt_settings() -> None:
    assert list(unknown_names(CLIENT_NAMES)) == []
