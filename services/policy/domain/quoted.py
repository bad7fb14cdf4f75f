"""What callers have written, as it may stand in a sentence of ours."""


def shown(text: str) -> str:
    """Printable ASCII, in quotes, at most 80 characters of it."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
