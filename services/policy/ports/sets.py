"""Policy sets as documents: who reads them, who evaluates the custom rules in them, who tries them on history."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Protocol

from services.policy.domain.flips import Simulated, Simulation
from services.policy.domain.policyset import PolicySet
from services.policy.domain.policyset_faults import PolicySetInvalid
from services.policy.domain.policyset_rules import RegoModule
from services.policy.domain.policyset_tests import Examined
from services.policy.domain.rules import RuleOutcome

GivenUp = Callable[[], bool]
"""Whether nobody waits any more for what is done in a thread: asked now and then, it ends what it can."""


class ReadSet(Protocol):
    """A document that was read. `policy` is None when there are problems."""

    @property
    def policy(self) -> PolicySet | None: ...
    @property
    def problems(self) -> Sequence[PolicySetInvalid]: ...

    def place(self, path: str) -> tuple[int, int]:
        """Line and column, from 1, of the value that `path` leads to, or of the nearest one around it."""
        ...

    def within(self, path: str, line: int, column: int) -> tuple[int, int]:
        """The same for a place within a text of several lines."""
        ...


class PolicySetReader(Protocol):
    """Reads policy set documents."""

    @property
    def default_document(self) -> str:
        """The document of the built-in set."""
        ...

    def check(self, document: str) -> PolicySet:
        """The set, after everything there is to check.

        Raises:
            PolicySetInvalid: with line and column.
        """
        ...

    @property
    def schema(self) -> str:
        """What documents are checked against: JSON Schema, 2020-12."""
        ...

    def look(self, document: str) -> ReadSet:
        """The set, or everything that is wrong with it."""
        ...

    def read(self, document: str) -> PolicySet:
        """The set of a document that was checked when it was published.

        Raises:
            PolicySetInvalid: it cannot be read after all.
        """
        ...


class Rules(Protocol):
    """Evaluates the custom rules of policy sets (`rules.rego`). Raises nothing: who cannot say is `failed`."""

    def judge(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What the set's rules say to each of `inputs` (see `rule_input`), in order; many cost less at once."""
        ...

    async def hear(self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """As `judge`, and others go on meanwhile. Whoever uses this does not use `judge` of the same object."""
        ...

    def examine(self, rego: Sequence[RegoModule], given_up: GivenUp) -> Examined:
        """What is wrong with these modules, and how their tests come out: in a thread, and in half a minute at most."""
        ...

    def rehearse(
        self, policy_set: PolicySet, inputs: Sequence[Mapping[str, Any]], given_up: GivenUp
    ) -> Sequence[RuleOutcome]:
        """As `judge`, for a set that is not live: in a thread, and without a trace."""
        ...


class Opa(Protocol):
    """An OPA server that is asked as well. Raises nothing: unreachable, late or nonsense is `failed`."""

    async def judge(self, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What it says to each of `inputs` (see `rule_input`), in order."""
        ...


class Simulations(Protocol):
    """Decides recorded history anew, out of the way of live decisions."""

    def run(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        """How far it is, again and again; the last one is `done`. Closing it ends the simulation at once.

        Raises:
            PolicySetInvalid: the set could not go live.
            Unavailable: log or keys cannot be reached, or it ended halfway (`SIMULATION_ENDED`).
        """
        ...
