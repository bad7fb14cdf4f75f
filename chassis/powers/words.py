"""What is said of power, lost or still held: signed, and read only if it is signed by the service that says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from chassis.signing import ALGORITHM, PublicKey, SigningKey

TYPE, HERE_TYPE = "power-lost+jwt", "power-here+jwt"
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


@dataclass(frozen=True, slots=True)
class Here:
    """One process is there and may hold power on these surfaces; with none, it says goodbye."""

    service: str
    replica: str
    surfaces: tuple[str, ...]
    at_us: int
    """When it was said, by the speaker's clock, in microseconds since 1970: by it an older word is known."""


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


def said_here(key: SigningKey, here: Here) -> str:
    """`here` as a compact JWS."""
    return key.sign(
        {
            "service": here.service,
            "replica": here.replica,
            "surfaces": here.surfaces,
            "at_us": here.at_us,
        },
        HERE_TYPE,
    )


def read(token: bytes, keys: Keys) -> Word:
    """What `token` says of lost power.

    Raises:
        WordRefused: it is none of ours, or not signed by a key of the service it names.
    """
    return _word(_claims(token, TYPE, keys), token.decode())


def read_here(token: bytes, keys: Keys) -> Here:
    """Who says by `token` that it is there, or goes. Raises WordRefused, as `read` does."""
    claims = _claims(token, HERE_TYPE, keys)
    replica, surfaces, at_us = (claims.get(name) for name in ("replica", "surfaces", "at_us"))
    if type(replica) is not str or type(at_us) is not int or type(surfaces) is not list:
        raise WordRefused("its claims are not what they should be")
    return Here(claims["service"], replica, tuple(map(str, surfaces)), at_us)


def _claims(token: bytes, typ: str, keys: Keys) -> dict[str, Any]:
    """Claims that the service signed which they name.

    Raises:
        WordRefused: it did not, or nobody can tell.
    """
    if len(token) > MAX_WORD_BYTES:
        raise WordRefused("it is too long")
    try:
        signed = jws.extract_compact(token)
        header, claims = signed.headers(), json.loads(signed.payload)
        if header.get("alg") != ALGORITHM or header.get("typ") != typ:
            raise WordRefused(f"it is no {ALGORITHM} signature of type {typ}")
        if type(claims) is not dict or type(service := claims.get("service")) is not str:
            raise WordRefused("it names no service")
        key = keys.get((service, str(header.get("kid"))))
        if key is None:
            raise WordRefused(f"no key {str(header.get('kid'))[:64]!r} of {service[:64]!r} was announced")
        if not jws.validate_compact(signed, key, algorithms=[ALGORITHM]):
            raise WordRefused("its signature does not fit")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WordRefused(f"it cannot be read ({type(error).__name__})") from error
    return claims


def _word(claims: dict[str, Any], token: str) -> Word:
    texts: list[Any] = [claims.get(name) for name in ("tenant", "agent_id", "surface", "service", "replica")]
    numbers: list[Any] = [claims.get(name) for name in ("revocation_sequence", "ended")]
    powerless_ms: Any = claims.get("powerless_ms")
    if not all(type(each) is str for each in texts) or not all(type(each) is int for each in numbers):
        raise WordRefused("its claims are not what they should be")
    if type(powerless_ms) not in (int, float) or not 0 <= powerless_ms < 1e12:
        raise WordRefused("its figure is none")
    tenant, agent_id, surface, service, replica = texts
    sequence, ended = numbers
    return Word(tenant, agent_id, sequence, surface, service, replica, float(powerless_ms), ended, token)
