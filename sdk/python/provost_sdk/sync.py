"""The client for code that waits: everything `provost_sdk.Provost` offers, without `await`.

    with Client("127.0.0.1:7000", key) as provost:
        run = provost.process_log(log)

`sync.pyi` beside it says the types: rendered from the asynchronous client by `python -m tests.unit.sdk.sync_stub`.
"""

from pathlib import Path

from provost_sdk.blocking import Blocking


class Client(Blocking):
    """A connection to the gateway at `address`, in the name of `key`; close it, or use `with`."""

    def __init__(
        self,
        address: str = "127.0.0.1:7000",
        key: str = "",
        *,
        timeout_seconds: float = 30.0,
        ca_file: Path | None = None,
        tenant: str = "",
    ) -> None:
        from provost_sdk.client import Provost

        super().__init__(
            lambda: Provost(address, key, timeout_seconds=timeout_seconds, ca_file=ca_file, tenant=tenant)
        )
