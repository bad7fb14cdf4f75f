"""Logs in, runs out."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request, Response

from services.gateway.domain.callers import Caller
from services.gateway.domain.faults import InvalidFields, LogEmpty, LogTooLarge
from services.gateway.domain.records import Listing, Page
from services.gateway.domain.runs import Mode, ProcessLog, Run, RunState, StartRun, Strategy
from services.gateway.handlers import Gateway
from services.gateway.web import bodies
from services.gateway.web.auth import Doors, Who
from services.gateway.web.given import Once, given
from services.gateway.web.shapes import (
    AgentId,
    ModeName,
    ProcessLogBody,
    ReasoningAnswer,
    StartRunBody,
    StrategyName,
    Subject,
    Token,
    ignored,
    reasoning_of,
    shaped,
)

RAW_TYPES = ("text/plain", "application/octet-stream")
# What the query says beside a raw log, and the field that says it in JSON.
IN_JSON = {
    "mode": "mode",
    "include_trace": "include_trace",
    "strategy": "llm_config.strategy",
    "agent": "agent",
    "request_id": "request_id",
    "subject": "subject",
}
# RFC 9745: since when the older form is deprecated (2026-01-01), as a structured-field date.
DEPRECATED = {
    "Deprecation": "@1767225600",
    "Link": '</api/process_log>; rel="successor-version", </api/docs>; rel="deprecation"',
}

PageSize = Annotated[int, Query(ge=0, le=1000, description="0: the service's own")]
PageToken = Annotated[str, Query(max_length=1000)]


async def process_log(
    request: Request,
    response: Response,
    gateway: Doors,
    caller: Who,
    once: Once,
    mode: ModeName = "safe",
    include_trace: bool = True,
    strategy: StrategyName | None = None,
    agent: AgentId | None = None,
    request_id: Token | None = None,
    subject: Subject | None = None,
) -> Run:
    """Take a log through a governed run: what is wrong, what to do, what policy says to it, what was done.

    200 when the run has ended, 202 when it waits for a person or goes on after four minutes. A body of type
    `text/plain` or `application/octet-stream` is the log itself, and then the query parameters say the rest; any other
    body is JSON, which says it all itself: beside it they are refused.
    """
    store: bodies.Bodies = request.app.state.bodies
    unknown: tuple[str, ...] = ()
    raw = _media_type(request) in RAW_TYPES
    if not raw:
        _require_no_query(request)
    async with store.read(request, bodies.MAX_BODY_BYTES) as body:
        if raw:
            said = ProcessLogBody(
                log="",
                mode=mode,
                include_trace=include_trace,
                agent=agent,
                request_id=request_id,
                subject=subject,
            )
            log, chosen = body, strategy
        else:
            value: Any = bodies.parse_json(body)
            said = shaped(ProcessLogBody, value)
            log, unknown = bodies.to_bytes(said.log), ignored(ProcessLogBody, value)
            chosen = said.llm_config.strategy if said.llm_config else None
        if not log.strip():
            raise LogEmpty
        if len(log) > bodies.MAX_LOG_BYTES:
            raise LogTooLarge(bodies.MAX_LOG_BYTES)
        ask = ProcessLog(
            request_id=once.id_of(said.request_id),
            log=log,
            mode=Mode(said.mode),
            strategy=Strategy(chosen) if chosen else None,
            include_trace=said.include_trace,
            agent_id=said.agent or "",
            forbidden=tuple(said.forbidden),
            subject=said.subject or "",
        )
        run = await gateway.orchestrator.process_log(ask, caller)
    _where(run, response)
    return replace(run, ignored_fields=unknown, trace=run.trace if ask.include_trace else None)


async def process_log_reasoning(
    request: Request, response: Response, gateway: Doors, caller: Who, once: Once
) -> ReasoningAnswer:
    """The older form of `POST /api/process_log`: answers the reasoning alone."""
    run = await process_log(request, response, gateway, caller, once)
    response.headers.update(DEPRECATED)
    return reasoning_of(run)


async def start_run(request: Request, response: Response, gateway: Doors, caller: Who, once: Once) -> Run:
    """Start a run without a log, and answer at once."""
    said = await given(request, StartRunBody)
    ask = StartRun(
        request_id=once.id_of(said.request_id),
        agent_id=said.agent,
        task_id=said.task,
        objective=said.objective,
        mode=Mode(said.mode),
        subject=said.subject or "",
    )
    run = await gateway.orchestrator.start_run(ask, caller)
    _where(run, response)
    return run


async def get_run(
    response: Response,
    gateway: Doors,
    caller: Who,
    run_id: Token,
    wait_seconds: Annotated[int, Query(ge=0, le=30, description="wait so long for it to end")] = 0,
) -> Run:
    """One run, as it is now; 202 while it works or waits for a person."""
    return await _one(gateway, caller, run_id, wait_seconds, response)


async def list_runs(
    gateway: Doors,
    caller: Who,
    state: RunState | None = None,
    page_size: PageSize = 0,
    page_token: PageToken = "",
) -> Listing[Run]:
    """Runs, newest first."""
    return await gateway.orchestrator.runs(state, Page(page_size, page_token), caller)


async def _one(gateway: Gateway, caller: Caller, run_id: str, wait_seconds: int, response: Response) -> Run:
    run = await gateway.orchestrator.run(run_id, wait_seconds, caller)
    _where(run, response)
    return run


def _where(run: Run, response: Response) -> None:
    response.headers["Location"] = f"/api/runs/{run.run_id}"
    if run.under_way:
        response.status_code = 202


def _require_no_query(request: Request) -> None:
    beside = sorted(request.query_params.keys() & IN_JSON.keys())
    if beside:
        text = "in the query goes with a raw log alone; beside JSON say `{}` in the body"
        raise InvalidFields("FIELD_INVALID", tuple((name, text.format(IN_JSON[name])) for name in beside))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
