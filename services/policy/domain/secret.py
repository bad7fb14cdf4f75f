"""How an agent's secret is kept: a salted SHA-256.

A slow hash guards guessable passwords. These secrets are 256 random bits, so a fast one gives nothing away
(NIST SP 800-63B, section 5.1.2: look-up secrets of 112 bits and more).
"""

import hashlib
import hmac


def hashed(secret: str, salt: str) -> str:
    """`sha256:<salt>:<hex>`, what is kept of `secret`."""
    return f"sha256:{salt}:{hashlib.sha256(f'{salt}:{secret}'.encode()).hexdigest()}"


def matches(secret: str, kept: str) -> bool:
    """Whether `kept` was made from `secret`, in a time that does not tell how much of it is right."""
    _, _, rest = kept.partition(":")
    salt, _, _ = rest.partition(":")
    return hmac.compare_digest(hashed(secret, salt), kept)
