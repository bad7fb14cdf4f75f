"""What policy refuses of policy sets, each fact in its own class."""

from collections.abc import Sequence

from kernel.faults import Exhausted, Invalid, NotFound, Refused, Unavailable

MOST_OF_ONE = 230
"""Characters of each of three mistakes: an answer has room for some hundreds."""


class PolicySetInvalid(Invalid):
    """`place` says where in the document, as `line 3, column 5`, when that is known. `others`: what else is wrong."""

    def __init__(
        self, problem: str, path: str = "", place: str = "", others: "Sequence[PolicySetInvalid]" = ()
    ) -> None:
        where = " at ".join(part for part in (place, path) if part)
        text = f"{where}: {problem}" if where else problem
        shown = "; ".join(_shortened(each) for each in (text, *(each.text for each in others[:2])))
        more = f"; and {len(others) - 2} more: `provost policy validate` tells all" if len(others) > 2 else ""
        facts = {"problems": str(1 + len(others))} if others else {}
        super().__init__(
            "POLICY_SET_INVALID", f"{shown}{more}" if others else text, path=path, place=place, **facts
        )
        self.problem = problem
        self.path = path
        told = f"{place}: {problem}" if place else problem
        self.errors = ((path or "document", told), *(error for each in others for error in each.errors))


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_OF_ONE else f"{text[:MOST_OF_ONE]} …"


class PolicySetUnknown(NotFound):
    def __init__(self, version: str) -> None:
        text = f"no policy set {version!r} is known here: list those that were in force"
        super().__init__("POLICY_SET_UNKNOWN", text, version=version)


class PolicySetBeingRead(Unavailable):
    def __init__(self, version: str) -> None:
        text = f"policy set {version!r} is in force and still being read here: try again in a moment"
        super().__init__("DECIDER_STALE", text, version=version)


class PolicySetTestsFailed(Refused):
    """`failed` are names of tests, each with why."""

    def __init__(self, failed: Sequence[tuple[str, str]]) -> None:
        shown = "; ".join(f"{name}: {why}" for name, why in failed[:5])
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        text = f"{len(failed)} of the set's own tests failed: {shown}{more}"[:2000]
        super().__init__("POLICY_SET_TESTS_FAILED", text, failed=str(len(failed)))


class PolicySetStale(Refused):
    def __init__(self, given: str, in_force: str) -> None:
        text = f"policy set {in_force!r} is in force, not {given!r}: read it, and replace that one"
        super().__init__("POLICY_SET_STALE", text, replaces_version=given, version=in_force)


class TooManyFlips(Refused):
    def __init__(self, flips: int, most: int, days: int, examples: str) -> None:
        text = (
            f"of the decisions of the last {days} days, {flips} would come out otherwise, and the set in force lets "
            f"{most}: look at them with `provost policy simulate`. Some are: {examples}"
        )
        super().__init__("TOO_MANY_FLIPS", text, flips=str(flips), most_flips=str(most), examples=examples)


class TooManySimulations(Exhausted):
    def __init__(self, most: int) -> None:
        text = f"{most} simulations are under way here: try again when one is done, or end one"
        super().__init__("TOO_MANY_SIMULATIONS", text, most=str(most))


class TooManyDocuments(Exhausted):
    def __init__(self, most: int) -> None:
        text = f"{most} policy sets wait to be looked over here: try again when some are done"
        super().__init__("TOO_MANY_DOCUMENTS", text, most=str(most))
