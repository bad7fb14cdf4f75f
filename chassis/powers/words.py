"""What is said of lost power: signed, and read only if it is signed by the service that says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from chassis.signing import ALGORITHM, PublicKey, SigningKey

TYPE = "power-lost+jwt"
MAX_WORD_BYTES = 4096
HERE, LOST, AGAIN, NOW = "pwr.here", "pwr.lost", "pwr.again", "pwr.now"

Keys = Mapping[tuple[str, str], PublicKey]
"""By service and key id: a service speaks for itself alone."""


class WordRefused(Exception):
    """It is not what it says, or nobody can tell; the text says why."""


@dataclass(frozen=True, slots=True)
class Word:
    """One process has lost what one surface gave it of an agent's power; `token` is the same, signed."""

    tenant: str
    agent_id: str
    revocation_sequence: int
    surface: str
    service: str
    replica: str
    powerless_ms: float
    """From the revocation's own time to when there was no power any more, by the speaker's clock; to microseconds."""
    ended: int
    token: str = ""


def said(key: SigningKey, word: Word, at: float) -> str:
    """`word` as a compact JWS (RFC 7515); `at` is when, in seconds since 1970."""
    return key.sign(
        {
            "tenant": word.tenant,
            "agent_id": word.agent_id,
            "revocation_sequence": word.revocation_sequence,
            "surface": word.surface,
            "service": word.service,
            "replica": word.replica,
            "powerless_ms": word.powerless_ms,
            "ended": word.ended,
            "iat": int(at),
        },
        TYPE,
    )


def read(token: bytes, keys: Keys) -> Word:
    """What `token` says.

    Raises:
        WordRefused: it is none of ours, or not signed by a key of the service it names.
    """
    if len(token) > MAX_WORD_BYTES:
        raise WordRefused("it is too long")
    try:
        signed = jws.extract_compact(token)
        header, claims = signed.headers(), json.loads(signed.payload)
        word = _word(claims, token.decode())
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
            raise WordRefused(f"it is no {ALGORITHM} signature of type {TYPE}")
        key = keys.get((word.service, str(header.get("kid"))))
        if key is None:
            raise WordRefused(
                f"no key {str(header.get('kid'))[:64]!r} of {word.service[:64]!r} was announced"
            )
        if not jws.validate_compact(signed, key, algorithms=[ALGORITHM]):
            raise WordRefused("its signature does not fit")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WordRefused(f"it cannot be read ({type(error).__name__})") from error
    return word


def _word(claims: Any, token: str) -> Word:
    texts = [claims[name] for name in ("tenant", "agent_id", "surface", "service", "replica")]
    numbers = [claims[name] for name in ("revocation_sequence", "ended")]
    powerless_ms = claims["powerless_ms"]
    if not all(type(each) is str for each in texts) or not all(type(each) is int for each in numbers):
        raise WordRefused("its claims are not what they should be")
    if type(powerless_ms) not in (int, float) or not 0 <= powerless_ms < 1e12:
        raise WordRefused("its figure is none")
    tenant, agent_id, surface, service, replica = texts
    sequence, ended = numbers
    return Word(tenant, agent_id, sequence, surface, service, replica, float(powerless_ms), ended, token)
