"""Exports verified offline: what is whole is proved, and the first thing that is wrong is named."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provost_sdk.exports.layout import tile_path
from provost_sdk.exports.tree import Tree
from provost_sdk.exports.verifying import Verified, verify_export
from provost_sdk.note import NotProved
from services.ledger.adapters.exporting.columns import write_rows
from services.ledger.domain.entry import Message
from services.ledger.wire.rows import row_of
from tests.unit.ledger.story import plains, run
from tests.unit.sdk.exported import Exporter, b64, write
from tests.vectors import ledger as reference

LOG = Exporter()
ODD = [
    Message(711, "evt.default.x", b"", b""),
    Message(712, "evt.default.y", b"NATS/1.0\r\na: 1\r\na: 2\r\n\r\n", b"\x00\xff"),
    Message(
        713,
        "not one of ours \u2028",
        'NATS/1.0\r\nname: \u00e9 "q" \\\r\nce-time: soon\r\n\r\n'.encode(),
        b"x",
    ),
    Message(714, "evt.a.b.c.d.E", b"HTTP/1.1 200\r\n\r\n", b"y" * 100_000),
    Message(715, "evt.a.b.c.d.F", b"NATS/1.0\r\nlong: " + b"z" * 70_000 + b"\r\n\r\n", b""),
    Message(716, "evt.a.b.c.d.G", b"NATS/1.0\r\nraw: \xff\xfe\r\nce-id:\r\n\r\n", b""),
    Message(717, "evt.a.b.c.d.H", b"NATS/1.0\r\n\r\n", b""),
]
MESSAGES = [*plains(701), *run(first=702), *ODD]
FILES = LOG.files(MESSAGES)
Files = dict[str, bytes]


def verified(files: Files, folder: Path) -> Verified:
    return verify_export(write(files, folder), [LOG.key])


def refused(files: Files, folder: Path) -> str:
    with pytest.raises(NotProved) as caught:
        verified(files, folder)
    return str(caught.value)


def test_a_whole_export_is_proved(tmp_path: Path) -> None:
    found = verified(FILES, tmp_path)
    assert (found.manifest.head.size, found.manifest.first_sequence) == (717, 1)
    assert (found.parquet, found.manifest.head.signers) == (True, (LOG.key,))
    # Every byte that is signed or hashed has been looked at: the files are all of these kinds.
    kinds = {path.split("/")[0] + Path(path).suffix for path in FILES}
    assert kinds >= {
        "checkpoint",
        "manifest",
        "SHA256SUMS",
        "README",
        "events.jsonl",
        "events.parquet",
        "tile",
    }
    assert {
        "tile/entries/000",
        "tile/entries/002.p/205",
        "tile/0/001",
        "tile/0/002.p/205",
        "tile/1/000.p/2",
    } <= set(FILES)


def test_a_changed_reading_of_a_payload_is_found_without_parquet_too(tmp_path: Path) -> None:
    files = {**LOG.files(MESSAGES, parquet=False), EVENTS: edited(42, decoded={"run_id": "another"})[EVENTS]}
    assert "events/00000.jsonl is not the file that SHA256SUMS lists" in refused(files, tmp_path)


def test_the_same_messages_give_the_same_bytes() -> None:
    again = LOG.files(MESSAGES)
    assert again == FILES
    without = LOG.files(MESSAGES, parquet=False)
    assert {path for path in FILES if path not in without} == {f"events/0000{n}.parquet" for n in range(3)}


def test_an_export_without_parquet_is_proved(tmp_path: Path) -> None:
    assert verified(LOG.files(MESSAGES, parquet=False), tmp_path).parquet is None


def test_where_parquet_cannot_be_read_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provost_sdk.exports.verifying.find_spec", lambda _: None)
    assert verified(FILES, tmp_path).parquet is False
    broken = {**FILES, "events/00001.parquet": b"PAR1"}
    assert "events/00001.parquet is not the file that SHA256SUMS lists" in refused(broken, tmp_path)


def line(number: int) -> bytes:
    return FILES["events/00000.jsonl"].splitlines(keepends=True)[number - 1]


def with_line(number: int, new: bytes) -> Files:
    lines = FILES["events/00000.jsonl"].splitlines(keepends=True)
    lines[number - 1] = new
    return {**FILES, "events/00000.jsonl": b"".join(lines)}


def edited(number: int, **changes: object) -> Files:
    row = {**json.loads(line(number)), **changes}
    return with_line(number, json.dumps(row, separators=(",", ":")).encode() + b"\n")


EVENTS = "events/00000.jsonl"
AT_42 = "events/00000.jsonl line 42 (leaf 41)"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: edited(42, payload=b64(b"another")), f"{AT_42}: leaf_hash is not that"),
        (lambda: edited(42, subject="evt.default.policy.agent.sre-2.AgentRevoked"), f"{AT_42}: leaf_hash is not"),
        (lambda: edited(42, headers={**json.loads(line(42))["headers"], "ce-actor": "me"}), f"{AT_42}: leaf_hash"),
        (lambda: edited(42, headers={"a": 1}), f"{AT_42}: subject, headers or payload are not what they must be"),
        (lambda: edited(42, headers=[]), f"{AT_42}: subject, headers or payload are not"),
        (lambda: edited(42, subject=7), f"{AT_42}: subject, headers or payload are not"),
        (lambda: edited(42, payload="*"), f"{AT_42}: the payload is not base64"),
        (lambda: edited(42, leaf_hash="00" * 32), f"{AT_42}: leaf_hash is not that"),
        (lambda: edited(42, sequence=43), f"{AT_42}: sequence 42 was to come, there is 43"),
        (lambda: edited(42, leaf_index=True), f"{AT_42}: leaf_index 41 was to come"),
        (lambda: edited(42, id="another"), f"{AT_42}: id, type or time is not that of its headers"),
        (lambda: edited(42, time="2020-01-01T00:00:00Z"), f"{AT_42}: id, type or time"),
        (lambda: edited(42, header_block=""), f"{AT_42}: leaf_hash is not that"),
        (lambda: edited(42, decoded={}), "events/00000.parquet and the JSON differ: decoded of leaf 41"),
        (lambda: edited(42, more=1), f"{AT_42}: it is not an object of"),
        (lambda: with_line(42, line(42).replace(b'"payload"', b'"payload":"", "payload"')), f"{AT_42}: it is not in"),
        (lambda: with_line(42, line(42).replace(b'{"sequence"', b'{ "sequence"')), f"{AT_42}: it is not in its one"),
        (lambda: with_line(42, line(42).replace(b"evt", b"\\u0065vt", 1)), f"{AT_42}: it is not in its one spelling"),
        (lambda: with_line(42, line(42)[:-3] + b"\n"), f"{AT_42}: it is too long, or not a whole line"),
        (lambda: with_line(42, b"\n"), f"{AT_42}: it is too long, or not"),
        (lambda: with_line(42, b"[" * 100_000 + b"}\n"), f"{AT_42}: it is not JSON"),
        (lambda: with_line(42, b'{"sequence":' + b"9" * 10_000 + b"}\n"), f"{AT_42}: it is not JSON"),
        (lambda: with_line(42, b'{"a":NaN}\n'), f"{AT_42}: it is not an object of"),
        (lambda: with_line(42, b"\xff}\n"), f"{AT_42}: it is not JSON, in ASCII alone"),
        (lambda: with_line(42, b""), f"{AT_42}: sequence 42 was to come, there is 43"),
        (lambda: with_line(42, line(42) + line(42)), "line 43 (leaf 42): sequence 43 was to come, there is 42"),
        (lambda: with_line(42, line(43) + line(42)), f"{AT_42}: sequence 42 was to come, there is 43"),
        (lambda: {**FILES, EVENTS: FILES[EVENTS] + b"more"}, "events/00000.jsonl has more than 300 lines"),
        (lambda: {**FILES, EVENTS: FILES[EVENTS][: -len(line(300))]}, "line 300 (leaf 299) is missing"),
        (lambda: {**FILES, EVENTS: FILES[EVENTS][:-1]}, "line 300 (leaf 299): it is too long, or not a whole"),
        (lambda: {**FILES, EVENTS: b""}, "events/00000.jsonl line 1 (leaf 0) is missing"),
    ],
)  # fmt: skip
def test_changed_lines_are_named(change: Callable[[], Files], said: str, tmp_path: Path) -> None:
    assert said in refused(change(), tmp_path)


def test_a_header_cannot_be_hidden_in_another(tmp_path: Path) -> None:
    """Two headers written as one give the same leaf: only one of the spellings is let through."""
    headers = json.loads(line(42))["headers"]
    hidden = {"ce-id": headers["ce-id"] + "\r\nce-actor: " + headers["ce-actor"], **headers}
    del hidden["ce-actor"]
    hidden["ce-id"] = headers["ce-id"] + "\r\nce-actor: " + headers["ce-actor"]
    assert f"{AT_42}: subject, headers or payload are not what they must be" in refused(
        edited(42, headers=hidden), tmp_path
    )


def test_a_header_cannot_be_hidden_in_the_subject(tmp_path: Path) -> None:
    row = json.loads(line(42))
    (first, value), *rest = sorted(row["headers"].items())
    subject = f"{row['subject']}\r\n{first}: {value}"
    assert f"{AT_42}: subject, headers or payload are not what they must be" in refused(
        edited(42, subject=subject, headers=dict(rest)), tmp_path
    )


def test_headers_cannot_be_hidden_in_a_block(tmp_path: Path) -> None:
    message = MESSAGES[41]
    changed = edited(42, headers={}, header_block=b64(message.header), id=None, type=None, time=None)
    assert f"{AT_42}: header_block is there for headers that could be told apart" in refused(
        changed, tmp_path
    )


TAMPERED = [
    path for path in FILES if path.startswith("tile/") or path == "README" or path.endswith(".parquet")
]


@pytest.mark.parametrize("path", TAMPERED)
@pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "empty"])
def test_changed_files_are_named(path: str, how: str, tmp_path: Path) -> None:
    data = FILES[path]
    at = len(data) // 2
    changed = {
        "flipped": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
        "shorter": data[:-1],
        "longer": data + b"\0",
        "empty": b"",
    }[how]
    assert path in refused({**FILES, path: changed}, tmp_path)


def test_the_leaf_of_a_changed_bundle_or_tile_is_named(tmp_path: Path) -> None:
    data = bytearray(FILES["tile/0/001"])
    data[5 * 32] ^= 1
    said = refused({**FILES, "tile/0/001": bytes(data)}, tmp_path)
    assert said == "tile/0/001: the hash of leaf 261 is not what its events give"
    bundle = FILES["tile/entries/001"]
    at = bundle.index(MESSAGES[300].subject.encode() + b"\r\nNats-Msg-Id: " + b"", 0)
    second = bundle.index(b"provost leaf v1", at)
    changed = bundle[:second] + b"P" + bundle[second + 1 :]
    said = refused({**FILES, "tile/entries/001": changed}, tmp_path)
    assert said.startswith("tile/entries/001: leaf ")
    assert said.endswith(" is not the one of its event")


@pytest.mark.parametrize("path", sorted(FILES))
def test_missing_files_are_named(path: str, tmp_path: Path) -> None:
    assert f"{path} is missing" in refused(
        {each: data for each, data in FILES.items() if each != path}, tmp_path
    )


@pytest.mark.parametrize(
    "path", ["events/00003.jsonl", "tile/0/003", "tile/2/000", "tile/entries/002", "notes.txt"]
)
def test_files_too_many_are_named(path: str, tmp_path: Path) -> None:
    assert refused({**FILES, path: b""}, tmp_path) == f"{path} does not belong to the export"


def test_links_and_other_things_are_refused(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    (tmp_path / "README").rename(tmp_path.parent / "README")
    (tmp_path / "README").symlink_to(tmp_path.parent / "README")
    with pytest.raises(NotProved, match="README is not a file"):
        verify_export(tmp_path, [LOG.key])
    (tmp_path / "README").unlink()
    os.mkfifo(tmp_path / "README")
    with pytest.raises(NotProved, match="README is not a file"):
        verify_export(tmp_path, [LOG.key])
    (tmp_path / "README").unlink()
    (tmp_path.parent / "README").rename(tmp_path / "README")
    (tmp_path / "more").symlink_to("/")
    with pytest.raises(NotProved, match="more is a link"):
        verify_export(tmp_path, [LOG.key])
    (tmp_path / "more").unlink()
    (tmp_path / "manifest").unlink()
    (tmp_path / "manifest").mkdir()
    with pytest.raises(NotProved, match="manifest is not a file"):
        verify_export(tmp_path, [LOG.key])


SUMS = FILES["SHA256SUMS"]


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (
            "manifest",
            lambda raw: raw.replace(b"size 717", b"size 716"),
            "manifest: the signature in the name of",
        ),
        ("manifest", lambda raw: raw[:-10] + b"\n", "manifest: "),
        ("manifest", lambda raw: b"", "manifest: not a signed note"),
        ("manifest", lambda raw: b"\xff", "manifest is too long, or not text"),
        ("manifest", lambda raw: b"x" * 2_000_000, "manifest is too long, or not text"),
        (
            "checkpoint",
            lambda raw: raw.replace(b"\n717\n", b"\n716\n"),
            "checkpoint: the signature in the name of",
        ),
        ("checkpoint", lambda raw: FILES["manifest"], "checkpoint: "),
        ("manifest", lambda raw: FILES["checkpoint"], "manifest: it is not the manifest of an export"),
        ("SHA256SUMS", lambda raw: raw.replace(b"0", b"1", 1), "SHA256SUMS is not the one that the manifest"),
        ("SHA256SUMS", lambda raw: raw + raw.splitlines(keepends=True)[-1], "SHA256SUMS is not the one"),
    ],
)
def test_changed_signatures_and_sums_are_named(
    path: str, change: Callable[[bytes], bytes], said: str, tmp_path: Path
) -> None:
    assert refused({**FILES, path: change(FILES[path])}, tmp_path).startswith(said)


def test_a_log_that_signs_what_it_has_changed_is_found_out_by_its_own_tree(tmp_path: Path) -> None:
    changed = edited(42, payload=b64(b"another"))
    LOG.resign(changed)
    assert f"{AT_42}: leaf_hash is not that" in refused(changed, tmp_path / "a")
    parquet = {**FILES, "events/00001.parquet": FILES["events/00000.parquet"]}
    LOG.resign(parquet)
    assert "events/00001.parquet and the JSON differ: sequence of leaf 300" in refused(
        parquet, tmp_path / "b"
    )
    nonsense = {**FILES, "events/00001.parquet": b"PAR1 nonsense PAR1"}
    LOG.resign(nonsense)
    assert "events/00001.parquet cannot be read as Parquet" in refused(nonsense, tmp_path / "c")
    readme = {**FILES, "README": b"another"}
    LOG.resign(readme)
    assert verified(readme, tmp_path / "d").manifest.head.size == 717  # the README is the log's to write


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sequence", 43),
        ("leaf_hash", bytes(32)),
        ("subject", "another"),
        ("id", None),
        ("time", "2026-03-01T12:00:43.000000Z"),
        ("headers", {"ce-actor": "me"}),
        ("header_block", b""),
        ("payload", b"x"),
        ("decoded", "{}"),
    ],
)
def test_a_changed_cell_of_parquet_is_named(column: str, value: object, tmp_path: Path) -> None:
    rows = [
        row_of(each.sequence, n, json_hash(n), each.subject, each.header, each.payload)
        for n, each in enumerate(MESSAGES[:300])
    ]
    rows[41] = rows[41]._replace(**{column: value})  # type: ignore[arg-type]
    with (tmp_path / "parquet").open("wb") as file:
        write_rows(rows, file)
    files = {**FILES, "events/00000.parquet": (tmp_path / "parquet").read_bytes()}
    LOG.resign(files)
    said = refused(files, tmp_path / "export")
    assert said == f"events/00000.parquet and the JSON differ: {column} of leaf 41"


def json_hash(leaf_index: int) -> bytes:
    return bytes.fromhex(json.loads(line(leaf_index + 1))["leaf_hash"])


def test_sums_that_list_something_else_are_refused_even_when_signed(tmp_path: Path) -> None:
    swapped = {**FILES}
    lines = SUMS.decode().splitlines(keepends=True)
    for n, (changed, said) in enumerate(
        (
            ([*lines, f"{'0' * 64}  ../outside\n"], "SHA256SUMS lists ../outside, which no export"),
            (
                [lines[1], lines[0], *lines[2:]],
                "SHA256SUMS line 1: README was to come, there is events/00000.jsonl",
            ),
            (lines[:-1], "tile/entries/002.p/205 was to come, there is nothing"),
            ([*lines[:-1], "nonsense\n"], f"SHA256SUMS line {len(lines)} is not a SHA-256"),
            ([lines[0].upper(), *lines[1:]], "SHA256SUMS line 1 is not a SHA-256"),
            (["0" * 64 + lines[0][64:], *lines[1:]], "README is not the file that SHA256SUMS lists"),
        )
    ):
        swapped["SHA256SUMS"] = "".join(changed).encode()
        files = {**swapped}
        LOG.sign_sums(files)
        assert said in refused(files, tmp_path / str(n))


def test_another_key_proves_nothing_and_one_of_several_does(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    other = Exporter()
    with pytest.raises(NotProved, match="manifest: not signed with the key"):
        verify_export(tmp_path, [other.key])
    with pytest.raises(NotProved, match="not signed"):
        verify_export(tmp_path, [])
    assert verify_export(tmp_path, [other.key, LOG.key]).manifest.head.signers == (LOG.key,)


def test_a_manifest_of_another_head_is_refused(tmp_path: Path) -> None:
    shorter = LOG.files(MESSAGES[:700])
    said = refused({**FILES, "checkpoint": shorter["checkpoint"]}, tmp_path)
    assert said == "checkpoint: it is a head over 700 events, and not the one of the manifest"


def test_a_key_signs_nothing_that_came_after_its_end(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    assert verify_export(tmp_path, [replace(LOG.key, last_size=717)]).manifest.head.size == 717
    with pytest.raises(NotProved, match="manifest: the key .* was retired before there were 717 events"):
        verify_export(tmp_path, [replace(LOG.key, last_size=716)])


def test_tiles_have_the_names_that_the_specification_gives() -> None:
    assert tile_path(0, 1234067, 256) == "tile/0/x001/x234/067"
    assert tile_path("entries", 0, 8) == "tile/entries/000.p/8"
    assert tile_path(3, 999, 256) == "tile/3/999"
    assert tile_path(3, 1000, 1) == "tile/3/x001/000.p/1"


@given(st.integers(1, 70_000))
@settings(max_examples=15, deadline=None)
def test_the_tree_grows_to_the_reference_s_root(size: int) -> None:
    hashes = [n.to_bytes(32, "big") for n in range(size)]
    tree = Tree()
    tiles = [
        (each.level, each.number, len(each.hashes))
        for at in range(0, size, 256)
        for each in tree.add(hashes[at : at + 256])
    ]
    tiles += [(each.level, each.number, len(each.hashes)) for each in tree.edge()]
    assert tree.root() == reference.mth(hashes)
    for level in range(4):
        widths = sum(width for at, _, width in tiles if at == level)
        assert widths == size >> (8 * level)


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
_headers = st.one_of(
    st.binary(max_size=60),
    st.lists(st.tuples(_texts, _texts), max_size=5).map(
        lambda pairs: ("NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs) + "\r\n").encode()
    ),
    st.lists(st.binary(max_size=12), max_size=4).map(
        lambda lines: b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    ),
)  # fmt: skip
_subjects = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda each: "\r\n" not in each)
_messages = st.lists(
    st.tuples(_subjects, _headers, st.binary(max_size=50)),
    min_size=1,
    max_size=40,
)


@given(_messages, st.integers(1, 2**40), st.integers(1, 20), st.booleans())
@settings(max_examples=120, deadline=None)
def test_whatever_was_published_goes_out_and_is_proved(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[tuple[str, bytes, bytes]],
    first: int,
    per_file: int,
    parquet: bool,
) -> None:
    messages = [Message(first + n, *each) for n, each in enumerate(parts)]
    files = LOG.files(messages, parquet=parquet, events_per_file=per_file)
    found = verified(files, tmp_path_factory.mktemp("export"))
    assert found.manifest.head.size == len(messages)
    rows = [
        json.loads(each)
        for n in range(-(-len(messages) // per_file))
        for each in files[f"events/{n:05d}.jsonl"].splitlines()
    ]
    assert [(row["sequence"], row["subject"]) for row in rows] == [
        (each.sequence, each.subject) for each in messages
    ]
