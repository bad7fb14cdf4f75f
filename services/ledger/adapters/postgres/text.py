"""Text as PostgreSQL can keep it: it has no NUL, and an event may say anything.

NUL becomes `\\x01` `0`, and `\\x01` becomes `\\x01` `1`: reversible, and nothing else is touched.
"""


def stored(text: str) -> str:
    """What is stored for `text`."""
    if "\0" not in text and "\x01" not in text:
        return text
    return text.replace("\x01", "\x011").replace("\0", "\x010")


def read(text: str) -> str:
    """What `stored` was given."""
    return text if "\x01" not in text else text.replace("\x010", "\0").replace("\x011", "\x01")


def encode(text: str) -> bytes:
    """For the wire. What is no Unicode was never stored, so it may become anything that is not found."""
    return stored(text).encode("utf-8", "replace")


def decode(raw: bytes | memoryview) -> str:
    """From the wire."""
    return read(str(raw, "utf-8"))
