"""`--witness`, `--quorum`, `--max-age` and `provost ledger witness-key`: files in, words and exit codes out."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from provost_sdk.cli.app import app
from provost_sdk.proof_files import write_event_proof, write_growth_proof
from tests.unit.sdk.log import SmallLog
from tests.unit.sdk.test_cosignatures import Witness

LOG = SmallLog()
ONE, OTHER, ABSENT = Witness("w.example/1"), Witness("w.example/2"), Witness("w.example/3")
NOW = int(time.time())


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)])


def checkpoint(size: int) -> str:
    note = LOG.checkpoint(size)
    text = note.partition("\n\n")[0] + "\n"
    return note + ONE.line(text, NOW) + OTHER.line(text, NOW - 3600)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    path = tmp_path / "proof"
    made = write_event_proof(
        3, LOG.inclusion(3, 11), checkpoint(11), LOG.subjects[3], LOG.headers[3], LOG.payloads[3]
    )
    path.write_bytes(made.encode())
    return path


@pytest.fixture
def growth(tmp_path: Path) -> tuple[Path, Path]:
    old, path = tmp_path / "old", tmp_path / "growth"
    old.write_bytes(LOG.checkpoint(5).encode())
    path.write_bytes(write_growth_proof(5, LOG.growth(5, 11), checkpoint(11)).encode())
    return old, path


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 0, "Proved"),
        (["--witness", ONE.vkey], 0, "Witnessed by w.example/1"),
        (["--witness", ONE.vkey, "--witness", OTHER.vkey], 0, "Witnessed by w.example/2"),
        (["--witness", ONE.vkey, "--witness", ABSENT.vkey], 1, "not so w.example/3"),
        (["--witness", ONE.vkey, "--witness", ABSENT.vkey, "--quorum", 1], 0, "Witnessed by w.example/1"),
        (["--witness", ABSENT.vkey], 1, "0 of the 1 witnesses"),
        (["--witness", OTHER.vkey, "--max-age", 7200], 0, "Witnessed"),
        (["--witness", OTHER.vkey, "--max-age", 60], 1, "within 60 seconds"),
        (["--witness", ONE.vkey, "--quorum", 2], 2, "quorum of 2 out of 1"),
        (["--witness", LOG.vkey], 2, "of a log, not of a witness"),
        (["--witness", "nonsense"], 2, "not a verifier key"),
        (["--quorum", 1], 2, "name them with --witness"),
    ],
)
def test_a_proof_and_growth_may_have_to_be_witnessed(
    proof: Path, growth: tuple[Path, Path], options: list[object], code: int, said: str
) -> None:
    for command in (("check", proof), ("consistent", *growth)):
        result = invoke(*command, "--key", LOG.vkey, *options)
        assert result.exit_code == code, result.output
        assert said in result.output


def test_json_names_the_witnesses(proof: Path) -> None:
    result = invoke("check", proof, "--key", LOG.vkey, "--witness", ONE.vkey, "--json")
    (found,) = json.loads(result.stdout)["witnesses"]
    assert found["witness"] == "w.example/1"
    assert found["at"].endswith("Z")
    refused = invoke("check", proof, "--key", LOG.vkey, "--witness", ABSENT.vkey, "--json")
    assert json.loads(refused.stdout)["proved"] is False


def test_the_key_of_the_witness_here_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path))
    assert "PROVOST_WITNESS=true" in invoke("witness-key").output
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness" / "vkey").write_text(ONE.vkey + "\n")
    assert invoke("witness-key").output == ONE.vkey + "\n"
    (tmp_path / "other").write_text(LOG.vkey)
    assert invoke("witness-key", "--file", tmp_path / "other").exit_code == 2
