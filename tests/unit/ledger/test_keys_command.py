"""`python -m services.ledger.keys`: what it prints, what it refuses, and where witnesses find the keys."""

from pathlib import Path

import pytest

from services.ledger.keys.__main__ import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_keys_are_introduced_and_retired(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for step in ("show", "introduce", "introduce", "show", "retire", "show"):
        assert main([step]) == 0
        shown.append(capsys.readouterr().out.splitlines())
        assert (home / "ledger" / "witnessed" / "vkeys").read_text().splitlines() == shown[-1]
    ((old,), (first, new), *again) = shown
    assert first == old != new
    assert again == [[old, new], [old, new], [new], [new]]


def test_what_cannot_be_done_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retire"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Not done: one key signs: introduce another before it is retired\n")
    (home / "keys" / "ledger.key").chmod(0o644)
    assert main(["introduce"]) == 1
    assert "may be read by others" in capsys.readouterr().err
    (home / "keys" / "ledger.key").chmod(0o600)
    (home / "keys" / "ledger.key").write_text("nothing")
    assert main(["introduce"]) == 1
    (home / "ledger" / "signer" / "keys").write_text("nothing")
    assert main(["show"]) == 1
    with pytest.raises(SystemExit):
        main(["exchange"])


def test_a_key_that_was_made_and_never_introduced_is_the_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a command that was cut off has left signs nothing, and is taken up by the next one."""
    assert main(["introduce"]) == 0
    made = (home / "keys" / "ledger.next.key").read_bytes()
    (history := home / "ledger" / "signer" / "keys").write_text(
        history.read_text().split("\n\nprovost.local", maxsplit=1)[0] + "\n"
    )
    capsys.readouterr()
    assert main(["show"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["introduce"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert (home / "keys" / "ledger.next.key").read_bytes() == made
