"""Words that a caller gives, as what the protos have for them."""

from typing import TYPE_CHECKING, TypeVar

from provost_sdk.errors import InvalidRequest

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

Number = TypeVar("Number", bound=int)


def named(enum: "_EnumTypeWrapper[Number]", name: str, field: str) -> Number:
    """The value called `name`, without the enum's prefix and in either case; unspecified for "".

    Raises:
        InvalidRequest: FIELD_INVALID; it says what `field` may be.
    """
    unspecified, *others = enum.items()
    prefix = unspecified[0].removesuffix("UNSPECIFIED")
    if not name:
        return unspecified[1]
    known = {each.removeprefix(prefix): number for each, number in others}
    if name.upper() not in known:
        may = ", ".join(each.lower() if name == name.lower() else each for each in known)
        raise InvalidRequest("FIELD_INVALID", f"{field} is {name!r}, and may be {may}", {"field": field})
    return known[name.upper()]
