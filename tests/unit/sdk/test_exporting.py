"""`provost ledger export` and `verify --export`: the sender is not trusted, and a folder is whole or not there."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO, Any, Self

import pytest
from typer.testing import CliRunner

from provost.ledger.v1 import ledger_pb2 as pb
from provost_sdk.cli.app import app
from provost_sdk.errors import NotAllowed, Unreachable
from provost_sdk.exports.receiving import CannotReceive, Receiving
from tests.unit.ledger.story import plains, run
from tests.unit.sdk.exported import Exporter, write
from tests.unit.sdk.test_cosignatures import Witness

LOG = Exporter()
FILES = LOG.files([*plains(291), *run(first=292)])


class Sent:
    """The client of a ledger that sends `pieces`, and then fails with `error` if there is one."""

    pieces: Iterable[tuple[str, bytes]] = ()
    error: Exception | None = None

    def __init__(self, *_: object, **__: object) -> None:
        self.parquet = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def export_ledger(self, *, parquet: bool = True) -> AsyncIterator[pb.ExportLedgerResponse]:
        for path, piece in type(self).pieces:
            if parquet or not path.endswith("parquet"):
                await asyncio.sleep(0)
                yield pb.ExportLedgerResponse(path=path, piece=piece, events=300, target=300)
        error = type(self).error
        if error is not None:
            raise error


def pieces(files: dict[str, bytes] = FILES) -> list[tuple[str, bytes]]:
    """Files in halves, those of different files one after another, as a ledger may send them."""
    ends = ("SHA256SUMS", "checkpoint", "manifest")
    mixed = [(path, data[: len(data) // 2]) for path, data in files.items() if path not in ends]
    mixed += [(path, data[len(data) // 2 :]) for path, data in files.items() if path not in ends]
    return [*mixed, *((path, files[path]) for path in ends)]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PROVOST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("provost_sdk.client.Provost", Sent)
    monkeypatch.setattr(Sent, "pieces", pieces())
    monkeypatch.setattr(Sent, "error", None)
    return tmp_path


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)])


def nothing_is_left(folder: Path) -> bool:
    return not any(folder.parent.glob(f"{folder.name}*"))


def test_an_export_is_written_whole_and_verifies(home: Path) -> None:
    folder = home / "some" / "export"
    done = invoke("export", folder, "--verifier-key", LOG.verifier.text)
    assert done.exit_code == 0, done.output
    assert "Exported 300 events" in done.output
    assert "Proved: this is the log provost.local/main up to a head over 300 events" in done.output
    found = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    assert found == FILES
    assert [each.name for each in folder.parent.iterdir()] == ["export"]
    checked = invoke("verify", "--export", folder, "--key", LOG.verifier.text)
    assert (checked.exit_code, "every leaf, bundle and tile computed anew" in checked.output) == (0, True)
    said = json.loads(invoke("verify", "--export", folder, "--key", LOG.verifier.text, "--json").stdout)
    assert (said["proved"], said["tree_size"], said["parquet"]) == (True, 300, "equal")


def test_an_empty_folder_is_taken_and_any_other_is_refused(home: Path) -> None:
    (home / "empty").mkdir()
    assert invoke("export", home / "empty").exit_code == 0
    again = invoke("export", home / "empty")
    assert (again.exit_code, "holds an export already" in again.output) == (2, True)
    (home / "full").mkdir()
    (home / "full" / "mine").write_text("keep me")
    refused = invoke("export", home / "full")
    assert (refused.exit_code, "is not empty" in refused.output) == (2, True)
    assert (home / "full" / "mine").read_text() == "keep me"
    (home / "file").write_text("keep me")
    assert "is no folder" in invoke("export", home / "file").output
    (home / "link").symlink_to(home / "empty")
    assert "is no folder" in invoke("export", home / "link").output


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/outside",
        "tile/../../outside",
        "events/00000.jsonl/../../outside",
        "events/00000.sh",
        "tile/0/000/..",
        "tile/0/x000",
        "tile/0/0000",
        "tile/0/000.p/0",
        "README\n",
        "",
        ".",
        "manifest/x",
        "../.provost-export",
        "\x1b[2Jx",
    ],
)
def test_a_ledger_cannot_write_where_no_export_does(
    path: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sent, "pieces", [*pieces()[:3], (path, b"x"), *pieces()[3:]])
    done = invoke("export", home / "export")
    assert done.exit_code == 1
    assert "the ledger sent a file that no export has" in done.output
    assert "\x1b" not in done.output
    assert nothing_is_left(home / "export")
    assert not any(home.rglob("outside"))


@pytest.mark.parametrize("without", ["manifest", "checkpoint", "SHA256SUMS"])
def test_an_export_that_ends_early_is_not_kept(
    without: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sent, "pieces", [each for each in pieces() if each[0] != without])
    done = invoke("export", home / "export")
    assert (done.exit_code, f"the export ended before {without} came" in done.output) == (1, True)
    assert nothing_is_left(home / "export")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("SHUTTING_DOWN", "the ledger stops"), 3),
        (NotAllowed("ROLE_MISSING", "this needs an auditor"), 1),
    ],
)
def test_when_the_ledger_fails_nothing_is_kept(
    error: Exception, code: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sent, "pieces", pieces()[:5])
    monkeypatch.setattr(Sent, "error", error)
    done = invoke("export", home / "export")
    assert (done.exit_code, str(error) in done.output) == (code, True)
    assert nothing_is_left(home / "export")


def test_an_export_that_does_not_verify_is_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = invoke("export", home / "export", "--verifier-key", Exporter().verifier.text)
    assert (wrong.exit_code, "not signed with the key" in wrong.output) == (1, True)
    monkeypatch.setattr(Sent, "pieces", [*pieces()[:-3], ("README", b"more"), *pieces()[-3:]])
    changed = invoke("export", home / "export", "--verifier-key", LOG.verifier.text)
    assert (changed.exit_code, "README is not the file that SHA256SUMS lists" in changed.output) == (1, True)
    assert nothing_is_left(home / "export")


def test_a_full_disk_is_told_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    real = Receiving._file

    def file(self: Receiving, path: str) -> "IO[bytes] | Full":
        return Full() if path.startswith("tile/entries") else real(self, path)

    monkeypatch.setattr(Receiving, "_file", file)
    done = invoke("export", home / "export")
    assert (done.exit_code, "there is no room for the export" in done.output) == (2, True)
    assert nothing_is_left(home / "export")


def test_what_a_killed_attempt_has_left_is_replaced(home: Path) -> None:
    left = home / "export.unfinished"
    write({"export/events/00000.jsonl": b"half", ".provost-export": b""}, left)
    assert invoke("export", home / "export", "--verifier-key", LOG.verifier.text).exit_code == 0
    assert not left.exists()


def test_what_somebody_else_has_there_is_not_touched(home: Path) -> None:
    left = home / "export.unfinished"
    write({"mine": b"keep me"}, left)
    refused = invoke("export", home / "export")
    assert (refused.exit_code, "is in the way" in refused.output) == (2, True)
    assert (left / "mine").read_bytes() == b"keep me"


def test_two_at_once_into_one_folder_are_refused(home: Path) -> None:
    with Receiving(home / "export") as first:
        first.write("README", b"x")
        with (
            pytest.raises(CannotReceive, match="another export into .* is going on"),
            Receiving(home / "export"),
        ):
            raise AssertionError("let in")
        assert (first.folder / "README").exists()
    assert nothing_is_left(home / "export")


def test_without_parquet(home: Path) -> None:
    write(LOG.files(plains(30), parquet=False), home / "plain")
    checked = invoke("verify", "--export", home / "plain", "--key", LOG.verifier.text, "--json")
    assert json.loads(checked.stdout)["parquet"] == "none"


def test_what_is_not_proved_ends_with_1_and_names_it(home: Path) -> None:
    folder = write(FILES, home / "export")
    (folder / "tile/0/000").write_bytes(b"")
    checked = invoke("verify", "--export", folder, "--key", LOG.verifier.text)
    assert checked.exit_code == 1
    assert "Not proved: tile/0/000 is too long or too short" in checked.output
    said = json.loads(invoke("verify", "--export", folder, "--key", LOG.verifier.text, "--json").stdout)
    assert said == {"proved": False, "problem": "tile/0/000 is too long or too short"}


def test_several_keys_and_witnesses(home: Path) -> None:
    folder, other, witness = write(FILES, home / "export"), Exporter(), Witness()
    keys = ("--key", other.verifier.text, "--key", LOG.verifier.text)
    assert invoke("verify", "--export", folder, *keys).exit_code == 0
    alone = invoke("verify", "--export", folder, *keys, "--witness", witness.vkey)
    assert (alone.exit_code, "0 of the 1 witnesses" in alone.output) == (1, True)
    note = (folder / "checkpoint").read_text(encoding="utf-8")
    signed = note + witness.line(note.partition("\n\n")[0] + "\n", 1_700_000_000)
    (folder / "checkpoint").write_text(signed, encoding="utf-8")
    done = invoke("verify", "--export", folder, *keys, "--witness", witness.vkey)
    assert (done.exit_code, f"Witnessed by {witness.name}" in done.output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--export", "."), "give the log's verifier key with --key"),
        (("--export", ".", "--key", "nonsense"), "not a verifier key"),
        (("--export", "nowhere", "--key", LOG.verifier.text), "nowhere is no folder"),
        (
            ("--export", ".", "--key", LOG.verifier.text, "--witness", LOG.verifier.text),
            "the verifier key of a log",
        ),
        (("--export", ".", "--key", LOG.verifier.text, "--quorum", "1"), "name them with --witness"),
        (("--key", "a", "--key", "b"), "go with --export"),
        (("--witness", "a"), "go with --export"),
    ],
)
def test_misuse_ends_with_2_and_says_what_to_do(
    arguments: tuple[str, ...], said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(FILES, home / "export"))
    done = invoke("verify", *arguments)
    assert (done.exit_code, said in done.output) == (2, True)


def test_what_cannot_be_read_ends_with_2(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(FILES, home / "export")

    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "manifest")

    monkeypatch.setattr("provost_sdk.exports.folder.os.open", denied)
    done = invoke("verify", "--export", folder, "--key", LOG.verifier.text)
    assert (done.exit_code, "manifest cannot be read: Permission denied" in done.output) == (2, True)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 291])
def test_single_events_are_proved_out_of_an_export(size: int, home: Path) -> None:
    messages = plains(size)
    folder = write(LOG.files(messages, events_per_file=100), home / "export")
    for index in {0, size // 2, size - 1}:
        proof = invoke("prove", "--index", index, "--export", folder)
        assert proof.exit_code == 0, proof.output
        (home / "proof").write_bytes(proof.stdout_bytes)
        checked = json.loads(invoke("check", home / "proof", "--key", LOG.verifier.text, "--json").stdout)
        assert (checked["proved"], checked["index"], checked["tree_size"]) == (True, index, size)
        event_id = checked["headers"]["ce-id"]
        assert invoke("prove", event_id, "--export", folder).stdout_bytes == proof.stdout_bytes


def test_what_an_export_does_not_prove_is_not_proved_out_of_it(home: Path) -> None:
    folder = write(FILES, home / "export")
    for arguments, said in (
        (("prove", "no such event"), "the export has no event no such event"),
        (("prove", "--index", "300"), "the export has no event 300"),
    ):
        done = invoke(*arguments, "--export", folder)
        assert (done.exit_code, said in done.output) == (1, True)
    tile = bytearray((folder / "tile/0/000").read_bytes())
    tile[32] ^= 1
    (folder / "tile/0/000").write_bytes(tile)
    done = invoke("prove", "--index", "0", "--export", folder)
    assert (done.exit_code, "leads to another root" in done.output) == (1, True)
    (folder / "tile/0/000").write_bytes(b"")
    assert "tile/0/000 is too short" in invoke("prove", "--index", "0", "--export", folder).output
    assert invoke("prove", "--index", "0", "--export", home / "nowhere").exit_code == 1
