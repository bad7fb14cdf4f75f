"""The rules: in force, tried out, put in force; and why an action may or may not be done."""

from typing import Annotated

from fastapi import Query, Request

from kernel.faults import Exhausted
from services.gateway.domain.faults import LogTooLarge
from services.gateway.domain.records import Listing, Page
from services.gateway.domain.rules import (
    AskWhy,
    Explained,
    Publish,
    RollBack,
    SetInForce,
    SetListed,
    SetsCompared,
    SetShown,
    SetValidated,
    Simulate,
)
from services.gateway.web import bodies, streams
from services.gateway.web.auth import Doors, Who
from services.gateway.web.flips import as_lines
from services.gateway.web.given import Once, given
from services.gateway.web.routes.runs import PageSize, PageToken
from services.gateway.web.rule_shapes import (
    DiffBody,
    DocumentBody,
    ExplainBody,
    PublishBody,
    RollbackBody,
    SimulateBody,
)
from services.gateway.web.shapes import S

MAX_BODY_BYTES = 3 * bodies.MIB
"""A set has at most 1 MiB; JSON around it, with its escapes."""


async def show_policy(
    gateway: Doors,
    caller: Who,
    version: Annotated[str, Query(max_length=64, description="an older one; else that in force")] = "",
) -> SetShown:
    """The policy set in force, or an older one by its version."""
    return await gateway.rules.shown(version, caller)


async def list_versions(
    gateway: Doors, caller: Who, page_size: PageSize = 0, page_token: PageToken = ""
) -> Listing[SetListed]:
    """The sets that were in force, newest first."""
    return await gateway.rules.versions(Page(page_size, page_token), caller)


async def publish_policy(request: Request, gateway: Doors, caller: Who, once: Once) -> SetInForce:
    """Put a policy set in force in place of another. One that does not parse, compile or pass its tests never is."""
    said = await _said(request, PublishBody)
    ask = Publish(once.id_of(said.request_id), said.document, said.replaces, said.why)
    return await gateway.rules.publish(ask, caller)


async def rollback_policy(request: Request, gateway: Doors, caller: Who, once: Once) -> SetInForce:
    """Put an older policy set in force again, as it was."""
    said = await _said(request, RollbackBody)
    ask = RollBack(once.id_of(said.request_id), said.version, said.replaces, said.why)
    return await gateway.rules.roll_back(ask, caller)


async def validate_policy(request: Request, gateway: Doors, caller: Who) -> SetValidated:
    """Everything that is wrong with a policy set, with line and column, and how its tests come out."""
    return await gateway.rules.validate((await _said(request, DocumentBody)).document, caller)


async def diff_policy(request: Request, gateway: Doors, caller: Who) -> SetsCompared:
    """Who may do what under one policy set and not, or otherwise, under the other."""
    said = await _said(request, DiffBody)
    return await gateway.rules.compare(said.old_version, said.version, said.document, caller)


async def explain_decision(request: Request, gateway: Doors, caller: Who) -> Explained:
    """What would be decided now, why, and what would have to change for a yes. Changes and counts nothing."""
    said = await _said(request, ExplainBody)
    ask = AskWhy(
        said.agent_id,
        said.task_id,
        said.run_id,
        said.mode,
        said.action,
        said.target,
        said.environment,
        said.parameters,
        tuple(said.steps_done),
        said.tier or "",
        said.version,
    )
    return await gateway.rules.explain(ask, caller)


async def simulate_policy(request: Request, gateway: Doors, caller: Who) -> streams.EventStream:
    """Recorded history decided again under another policy set, as server-sent events; each flip is told.

    `progress` comes again and again, with the flips since the last and the totals so far; `done` is the last. Whoever
    goes away ends it.
    """
    said = await _said(request, SimulateBody)
    ask = Simulate(said.document, said.version, said.from_time, said.to_time, said.agent_id, said.max_flips)
    telling = gateway.rules.simulate(ask, caller)
    # The first is awaited here, so that a set that is no good is answered as any other mistake.
    first = await anext(telling)
    open_streams: streams.Streams = request.app.state.streams
    return streams.EventStream(open_streams.until_ended(as_lines(first, telling), caller))


async def _said(request: Request, shape: type[S]) -> S:
    try:
        return await given(request, shape, MAX_BODY_BYTES)
    except LogTooLarge:
        most = MAX_BODY_BYTES // bodies.MIB
        text = f"larger than {most} MiB, and a policy set may have 1 MiB: leave out what is not a rule"
        raise Exhausted("MESSAGE_TOO_LARGE", text, field="document") from None
