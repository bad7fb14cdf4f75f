"""Query parameters that several routes have."""

from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

Word = Annotated[str, Query(max_length=200)]
Time = Annotated[AwareDatetime | None, Query(description="RFC 3339, with its zone")]
