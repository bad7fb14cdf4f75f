"""Records and messages: what crosses, and what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message

from chassis.mapping import Mapper
from kernel.faults import Invalid

F = descriptor_pb2.FieldDescriptorProto
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


class Tier(StrEnum):
    T0_OBSERVER = "T0_OBSERVER"
    T1_OPERATOR = "T1_OPERATOR"


@dataclass(frozen=True, slots=True)
class Cost:
    tokens: int
    share: float


@dataclass(frozen=True, slots=True)
class Hired:
    agent_id: str
    at: datetime
    tier: Tier
    cost: Cost
    trusted: bool = False
    digest: bytes = b""
    tags: tuple[str, ...] = ()
    past: tuple[Tier, ...] = ()
    costs: tuple[Cost, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    by_day: Mapping[str, Cost] = field(default_factory=dict)
    seen: datetime | None = None
    limit: int | None = None
    extra: Cost | None = None
    wished: Tier | None = None


def _file() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="mapping_test.proto", package="mapping.test")
    file.syntax = "proto3"
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    tier = file.enum_type.add(name="Tier")
    for number, name in enumerate(("TIER_UNSPECIFIED", "TIER_T0_OBSERVER", "TIER_T1_OPERATOR")):
        tier.value.add(name=name, number=number)
    cost = file.message_type.add(name="Cost")
    cost.field.add(name="tokens", number=1, type=F.TYPE_INT64, label=F.LABEL_OPTIONAL)
    cost.field.add(name="share", number=2, type=F.TYPE_DOUBLE, label=F.LABEL_OPTIONAL)
    hired = file.message_type.add(name="Hired")
    many, one = F.LABEL_REPEATED, F.LABEL_OPTIONAL

    def add(name: str, kind: int, label: int = one, type_name: str = "", optional: bool = False) -> None:
        made: Any = hired.field.add(name=name, number=len(hired.field) + 1, type=kind, label=label)
        if type_name:
            made.type_name = type_name
        if optional:
            made.proto3_optional = True
            made.oneof_index = len(hired.oneof_decl)
            hired.oneof_decl.add(name=f"_{name}")

    def add_map(name: str, entry: str, kind: int, type_name: str = "") -> None:
        nested = hired.nested_type.add(name=entry)
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, type=F.TYPE_STRING, label=one)
        value = nested.field.add(name="value", number=2, type=kind, label=one)
        if type_name:
            value.type_name = type_name
        add(name, F.TYPE_MESSAGE, many, f".mapping.test.Hired.{entry}")

    stamp = ".google.protobuf.Timestamp"
    add("agent_id", F.TYPE_STRING)
    add("at", F.TYPE_MESSAGE, one, stamp)
    add("tier", F.TYPE_ENUM, one, ".mapping.test.Tier")
    add("cost", F.TYPE_MESSAGE, one, ".mapping.test.Cost")
    add("trusted", F.TYPE_BOOL)
    add("digest", F.TYPE_BYTES)
    add("tags", F.TYPE_STRING, many)
    add("past", F.TYPE_ENUM, many, ".mapping.test.Tier")
    add("costs", F.TYPE_MESSAGE, many, ".mapping.test.Cost")
    add_map("labels", "LabelsEntry", F.TYPE_STRING)
    add_map("by_day", "ByDayEntry", F.TYPE_MESSAGE, ".mapping.test.Cost")
    add("seen", F.TYPE_MESSAGE, one, stamp)
    add("limit", F.TYPE_INT64, optional=True)
    add("extra", F.TYPE_MESSAGE, one, ".mapping.test.Cost")
    add("wished", F.TYPE_ENUM, one, ".mapping.test.Tier")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"mapping.test.{name}"))
        for name in ("Hired", "Cost")
    }


MESSAGES = _file()
MAPPER = Mapper(Hired, MESSAGES["Hired"])
LEAST = Hired("a1", AT, Tier.T1_OPERATOR, Cost(0, 0.0))
FULL = Hired(
    agent_id="a-2",
    at=AT,
    tier=Tier.T0_OBSERVER,
    cost=Cost(2**40, 0.25),
    trusted=True,
    digest=b"\x00\xff",
    tags=("x", "ü"),
    past=(Tier.T1_OPERATOR, Tier.T0_OBSERVER),
    costs=(Cost(1, 1.0), Cost(2, 2.0)),
    labels={"a": "b"},
    by_day={"mon": Cost(3, 0.5)},
    seen=datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    limit=0,
    extra=Cost(9, 9.0),
    wished=Tier.T1_OPERATOR,
)


@pytest.mark.parametrize("record", [LEAST, FULL])
def test_a_record_comes_back_as_it_was(record: Hired) -> None:
    message = MAPPER.to_message(record)
    over_the_wire = MESSAGES["Hired"].FromString(message.SerializeToString())
    assert MAPPER.to_record(over_the_wire) == record


def test_an_unset_optional_is_none_and_a_set_zero_is_not() -> None:
    assert MAPPER.to_record(MAPPER.to_message(LEAST)).limit is None
    assert MAPPER.to_record(MAPPER.to_message(FULL)).limit == 0


@pytest.mark.parametrize(
    ("name", "reason"), [("at", "FIELD_MISSING"), ("cost", "FIELD_MISSING"), ("tier", "FIELD_MISSING")]
)
def test_a_required_field_that_is_unset_is_named(name: str, reason: str) -> None:
    message = MAPPER.to_message(FULL)
    message.ClearField(name)
    with pytest.raises(Invalid) as caught:
        MAPPER.to_record(message)
    assert (caught.value.reason, caught.value.facts["field"]) == (reason, name)


def test_an_enum_number_nobody_knows_is_refused() -> None:
    message: Any = MAPPER.to_message(FULL)
    message.tier = 77
    with pytest.raises(Invalid, match="T0_OBSERVER, T1_OPERATOR"):
        MAPPER.to_record(message)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("agent_id", b"\xff"),
        ("agent_id", "\ud800"),
        ("limit", 2**70),
        ("tier", "T9"),
        ("at", datetime(2026, 1, 1)),  # noqa: DTZ001 - a time without a zone is the point
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, bad: object) -> None:
    values = {each: getattr(FULL, each) for each in FULL.__dataclass_fields__} | {name: bad}
    with pytest.raises(Invalid) as caught:
        MAPPER.to_message(Hired(**values))
    assert caught.value.facts["field"] == name


def test_record_and_message_must_agree_when_built() -> None:
    @dataclass(frozen=True)
    class Short:
        tokens: int

    @dataclass(frozen=True)
    class Wrong:
        tokens: str
        share: float

    @dataclass(frozen=True)
    class Unsettable:
        tokens: int | None
        share: float

    with pytest.raises(TypeError, match="do not both have: share"):
        Mapper(Short, MESSAGES["Cost"])
    with pytest.raises(TypeError, match="field tokens"):
        Mapper(Wrong, MESSAGES["Cost"])
    with pytest.raises(TypeError, match="optional"):
        Mapper(Unsettable, MESSAGES["Cost"])


def test_an_enum_with_other_members_is_refused_when_built() -> None:
    class Other(StrEnum):
        T0_OBSERVER = "T0_OBSERVER"

    values = [(each.name, each.type, each) for each in FULL.__dataclass_fields__.values()]
    with pytest.raises(TypeError, match="T1_OPERATOR"):
        Mapper(_with(values, "tier", Other), MESSAGES["Hired"])


def _with(fields: list[Any], name: str, kind: type) -> type:
    chosen = [(each, kind if each == name else hint) for each, hint, _ in fields]
    return make_dataclass("Hired", chosen, frozen=True)
