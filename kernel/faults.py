"""What can go wrong in a way a caller can act on.

    Fault
    ├── Invalid          the request cannot be understood or breaks a rule of form
    ├── Unauthenticated  who is asking is not known
    ├── Denied           who is asking may not
    ├── NotFound         there is no such thing (or not for this tenant)
    ├── Conflict         somebody else was quicker, or the name is taken
    ├── Refused          understood, allowed, but not in this state
    ├── Exhausted        a limit is reached: rate, size, budget
    └── Unavailable      cannot answer now; trying again may help

Each carries a `reason` from `error/v1/reason.proto`, a text that says what to do, and the facts as metadata. No
transport codes here: `chassis.rpc.faults` and the gateway's `web.problems` map them. Anything else that is raised is a
bug.
"""


class Fault(Exception):
    """A refusal with a reason a program can switch on and a text a person can act on."""

    def __init__(self, reason: str, text: str, **facts: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.facts = facts
        self.errors: tuple[tuple[str, str], ...] = ()
        """Where several things are wrong: each of them, what it is about and what is wrong with it."""


class Invalid(Fault):
    pass


class Unauthenticated(Fault):
    pass


class Denied(Fault):
    pass


class NotFound(Fault):
    pass


class Conflict(Fault):
    pass


class Refused(Fault):
    pass


class Exhausted(Fault):
    pass


class Unavailable(Fault):
    pass


class AppendConflict(Conflict):
    """Another event reached the aggregate first: wait for it, decide again."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(
            "APPEND_CONFLICT",
            f"{stream} has moved past sequence {expected}; try again",
            stream=stream,
            expected_sequence=str(expected),
        )
