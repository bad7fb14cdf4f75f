"""A log as it may be kept: text, without secrets."""

from dataclasses import dataclass

from services.orchestrator.domain.redaction import redact

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Read:
    """What was made of a log, and what was taken out: so many bytes that are no UTF-8, so many secrets of each kind."""

    text: str
    replaced_bytes: int
    redactions: dict[str, int]


def read_log(log: bytes) -> Read:
    """Bytes as text without secrets. Line breaks become `\\n`; what is not UTF-8 becomes U+FFFD and is counted."""
    text = log.decode("utf-8", "replace")
    replaced = text.count(REPLACEMENT) - log.count(REPLACEMENT.encode())
    redacted = redact(text.replace("\r\n", "\n"))
    return Read(redacted.text, replaced, redacted.taken)
