"""What something costs, by unit. Whole numbers only: money is counted in millionths."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a budget counts."""

    ACTIONS = "ACTIONS"
    TOKENS = "TOKENS"
    MONEY_MICROS = "MONEY_MICROS"
    ERRORS = "ERRORS"
    HOSTS = "HOSTS"


@dataclass(frozen=True, slots=True)
class Amounts:
    """0 is nothing; `hosts` are the different targets touched."""

    actions: int = 0
    tokens: int = 0
    money_micros: int = 0
    errors: int = 0
    hosts: tuple[str, ...] = ()


NOTHING = Amounts()
