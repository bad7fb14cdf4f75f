"""What the parts of a double share."""

import hashlib
import itertools
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from provost_sdk.testing.door import Caller


class World:
    """Who may call, the one moment it is, and ids that come out the same each time."""

    def __init__(self, callers: Mapping[str, Caller], now: datetime) -> None:
        self.callers = callers
        self.now = Timestamp()
        self.now.FromDatetime(now)
        self._numbers = itertools.count(1)

    def id_of(self, kind: str, request_id: str) -> str:
        """The id of what a request makes; without a request id, the next one of this double."""
        return hashlib.sha256(f"{kind}:{request_id or next(self._numbers)}".encode()).hexdigest()[:32]
