"""What exactly is to be done, as a digest: approvals and permits are bound to it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rfc8785

from kernel.faults import Invalid

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def action_digest(name: str, target: str, environment: str, parameters: Mapping[str, Json]) -> str:
    """`sha256:<hex>` of the action in canonical JSON (RFC 8785): the same action has the same digest everywhere.

    Covers everything that says what will be done; who asked, when and why are not part of it.

    Raises:
        Invalid: `parameters` hold what canonical JSON cannot (NaN, infinity, integers beyond 2^53, lone surrogates).
    """
    return digest(
        {
            "action": name,
            "target": target,
            "environment": environment,
            "parameters": dict(parameters),
        }
    )


def digest(value: Json) -> str:
    """`sha256:<hex>` of `value` in canonical JSON (RFC 8785).

    Raises:
        Invalid: as for `action_digest`.
    """
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Json) -> bytes:
    """`value` as canonical JSON (RFC 8785).

    Raises:
        Invalid: as for `action_digest`.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise Invalid("FIELD_INVALID", f"this has no canonical form: {error}", field="parameters") from error
