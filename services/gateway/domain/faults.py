"""Why somebody is turned away at the door."""

from kernel.faults import Denied, Exhausted, Invalid, Unauthenticated


class KeyMissing(Unauthenticated):
    def __init__(self) -> None:
        super().__init__(
            "KEY_MISSING",
            "no API key was given: send it as header X-API-Key or Authorization: Bearer, as ?api_key=, "
            "over gRPC as metadata x-api-key",
        )


class KeyUnknown(Unauthenticated):
    def __init__(self) -> None:
        super().__init__(
            "KEY_UNKNOWN",
            "this API key is not one of those configured: send one of API_KEYS, or have an administrator add it there",
        )


class RoleMissing(Denied):
    def __init__(self, needed: str, method: str) -> None:
        super().__init__(
            "ROLE_MISSING", f"{method} needs a key with role {needed}", needed=needed, method=method
        )


class AskedWithin(Denied):
    """Provost's own services ask each other for it: no role of a key is enough."""

    def __init__(self, method: str) -> None:
        super().__init__(
            "ROLE_MISSING",
            f"{method} is asked by Provost's own services, with no key: start a run, which does it by itself "
            "(provost run AGENT TASK OBJECTIVE, POST /api/runs, StartRun)",
            method=method,
        )


class TenantRefused(Denied):
    """What is asked for is every tenant's."""

    def __init__(self, needed: str, method: str) -> None:
        super().__init__(
            "TENANT_MISMATCH",
            f"{method} is about what every tenant has: it needs a key of tenant {needed}",
            needed=needed,
            method=method,
        )


class OriginRefused(Denied):
    """No key is configured, so a page from elsewhere could act through its reader's browser."""

    def __init__(self) -> None:
        super().__init__(
            "ORIGIN_REFUSED",
            "no API key is configured, and then requests from other sites' pages are refused: configure API_KEYS",
        )


class PageRefused(Denied):
    """A browser asks in the name of another site's page, which the same-origin policy does not stop for sockets."""

    def __init__(self) -> None:
        super().__init__(
            "ORIGIN_REFUSED",
            "a page of another site may not open this: serve it from the gateway's own address",
        )


class TooManyWatches(Exhausted):
    def __init__(self, limit: int, who: str) -> None:
        super().__init__(
            "TOO_MANY_WATCHES",
            f"{who} {limit} streams of events open: close some, or share one",
            limit=str(limit),
        )


class RateLimited(Exhausted):
    def __init__(self, wait_seconds: float) -> None:
        super().__init__(
            "RATE_LIMITED",
            f"more requests than this key may make; try again in {wait_seconds:.1f} s",
            retry_after_seconds=f"{wait_seconds:.3f}",
        )


class LogTooLarge(Exhausted):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            "LOG_TOO_LARGE",
            f"larger than {limit_bytes // 2**20} MiB: send it in parts",
            field="log",
            limit_bytes=str(limit_bytes),
        )


class LogEmpty(Invalid):
    def __init__(self) -> None:
        super().__init__("LOG_EMPTY", "log is empty: send the text of the log to look into", field="log")


class InvalidFields(Invalid):
    """Some fields are not as they have to be; `errors` names each and says what is allowed."""

    def __init__(self, reason: str, errors: tuple[tuple[str, str], ...]) -> None:
        super().__init__(reason, "; ".join(f"{field}: {text}" for field, text in errors), field=errors[0][0])
        self.errors = errors
