"""A log as it may be kept: text, without secrets."""

import codecs
from dataclasses import dataclass

from services.orchestrator.domain.faults import LogCompressed
from services.orchestrator.domain.redaction import redact

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gzip -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"\xfd7zXZ\x00": ("xz", "xz -dc"),
    **{b"BZh%d1AY&SY" % level: ("bzip2", "bzip2 -dc") for level in range(1, 10)},
    b"PK\x03\x04": ("zip", "unzip -p"),
}
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Read:
    """What was made of a log, and what was taken out: so many bytes that are no UTF-8, so many secrets of each kind."""

    text: str
    replaced_bytes: int
    redactions: dict[str, int]


def read_log(log: bytes) -> Read:
    """Bytes as text without secrets. Line breaks become `\\n`; what is not UTF-8 becomes U+FFFD and is counted.

    What begins with a byte order mark of UTF-16 or UTF-32, and is that, is read as such.
    Raises:
        LogCompressed.
    """
    for magic, (form, command) in _COMPRESSED.items():
        if log.startswith(magic):
            raise LogCompressed(form, command)
    text, replaced = _wide(log), 0
    if text is None:
        text = log.decode("utf-8", "replace")
        replaced = text.count(REPLACEMENT) - log.count(REPLACEMENT.encode())
    redacted = redact(text.replace("\r\n", "\n"))
    return Read(redacted.text, replaced, redacted.taken)


def _wide(log: bytes) -> str | None:
    """`log` as UTF-32 or UTF-16, if it is. Without a NUL it is neither: digits and spaces have one there."""
    for mark, encoding in _MARKS:
        if log.startswith(mark) and 0 in log:
            try:
                return log.decode(encoding)
            except UnicodeDecodeError:
                continue
    return None
