"""All routes and everything around them, on one screen. Who may call which stands in `domain/rights.py`."""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute

from kernel.faults import Fault
from services.gateway.domain.runs import Run
from services.gateway.handlers import Gateway
from services.gateway.handlers.places import LargePlaces
from services.gateway.web import problems
from services.gateway.web.auth import admitted, spelled
from services.gateway.web.bodies import Bodies
from services.gateway.web.edge import Edge
from services.gateway.web.leaving import Unanswered
from services.gateway.web.routes import (
    about,
    audit,
    erasing,
    history,
    people,
    revoking,
    rules,
    runs,
    sharing,
    standing,
    tlog,
)
from services.gateway.web.rule_shapes import (
    BudgetBody,
    DiffBody,
    DocumentBody,
    ExplainBody,
    MoveBody,
    PublishBody,
    RegisterBody,
    RollbackBody,
    SimulateBody,
    WhyBody,
)
from services.gateway.web.shapes import (
    AcknowledgeBody,
    AnswerBody,
    EraseBody,
    ProcessLogBody,
    ReasoningAnswer,
    ReleaseBody,
    RevokeBody,
    Shape,
    StartRunBody,
)
from services.gateway.web.sockets import PATH, watch_events
from services.gateway.web.streams import EventStream, Streams

JSON = ("application/json",)
EVENTS = EventStream.media_type

ROUTES: tuple[tuple[str, Callable[..., Any], dict[str, Any]], ...] = (
    ("POST /api/process_log", runs.process_log, {"body": ProcessLogBody}),
    ("POST /process_log", runs.process_log_reasoning, {"body": ProcessLogBody, "deprecated": True}),
    ("POST /api/runs", runs.start_run, {"body": StartRunBody}),
    ("GET /api/runs", runs.list_runs, {}),
    ("GET /api/runs/{run_id}", runs.get_run, {}),
    ("GET /api/approvals", people.list_approvals, {}),
    ("POST /api/approvals/{approval_id}", people.answer_approval, {"body": AnswerBody}),
    ("GET /api/agents", people.list_agents, {}),
    ("POST /api/agents", standing.register_agent, {"body": RegisterBody}),
    ("GET /api/agents/{agent_id}", standing.get_agent, {}),
    ("POST /api/agents/{agent_id}/suspend", standing.suspend_agent, {"body": WhyBody}),
    ("POST /api/agents/{agent_id}/resume", standing.resume_agent, {"body": WhyBody}),
    ("POST /api/agents/{agent_id}/promote", standing.promote_agent, {"body": MoveBody}),
    ("POST /api/agents/{agent_id}/demote", standing.demote_agent, {"body": MoveBody}),
    ("POST /api/agents/{agent_id}/revoke", revoking.revoke_agent, {"body": RevokeBody}),
    ("GET /api/agents/{agent_id}/receipt", revoking.get_receipt, {}),
    ("GET /api/policy", rules.show_policy, {}),
    ("POST /api/policy", rules.publish_policy, {"body": PublishBody}),
    ("GET /api/policy/versions", rules.list_versions, {}),
    ("POST /api/policy/validate", rules.validate_policy, {"body": DocumentBody}),
    ("POST /api/policy/diff", rules.diff_policy, {"body": DiffBody}),
    ("POST /api/policy/rollback", rules.rollback_policy, {"body": RollbackBody}),
    ("POST /api/policy/explain", rules.explain_decision, {"body": ExplainBody}),
    ("POST /api/policy/simulate", rules.simulate_policy, {"body": SimulateBody, "media": (EVENTS,)}),
    ("GET /api/budgets", standing.list_budgets, {}),
    ("POST /api/budgets", standing.set_budget, {"body": BudgetBody}),
    ("GET /api/events", audit.list_events, {}),
    ("GET /api/events/stream", history.stream_events, {"media": (EVENTS,)}),
    ("GET /api/events/ws", history.watch_events, {"status": 101}),
    ("GET /api/events/{event_id}", history.get_event, {}),
    ("GET /api/events/{event_id}/causes", history.event_causes, {}),
    ("GET /api/effects/{effect_id}/causes", history.effect_causes, {}),
    ("GET /api/runs/{run_id}/replay", history.replay_run, {}),
    ("GET /api/violations", history.list_violations, {}),
    ("GET /api/promotions", history.list_promotions, {}),
    ("GET /api/approval_records", history.list_approval_records, {}),
    ("GET /api/agent_actions", audit.list_agent_actions, {}),
    ("GET /api/agent_metrics", audit.list_agent_metrics, {}),
    ("GET /api/tasks", sharing.list_tasks, {}),
    ("GET /api/tasks/{task_id}", sharing.get_task, {}),
    ("GET /api/tasks/{task_id}/board", sharing.get_board, {}),
    ("GET /api/tasks/{task_id}/messages", sharing.list_messages, {}),
    (
        "POST /api/tasks/{task_id}/messages/acknowledge",
        sharing.acknowledge_messages,
        {"body": AcknowledgeBody},
    ),
    ("GET /api/locks", sharing.list_locks, {}),
    ("GET /api/stuck", sharing.list_stuck, {}),
    ("POST /api/agents/{agent_id}/lock/release", sharing.release_lock, {"body": ReleaseBody}),
    ("POST /api/erasures", erasing.erase_subject, {"body": EraseBody}),
    ("GET /api/erasures", erasing.list_erasures, {}),
    ("GET /api/ledger/head", audit.ledger_head, {}),
    ("POST /api/ledger/verify", audit.verify_ledger, {}),
    ("GET /tlog/checkpoint", tlog.checkpoint, {"media": ("text/plain",)}),
    ("GET /tlog/tile/entries/{place:path}", tlog.entries, {"media": (tlog.OCTETS,)}),
    ("GET /tlog/tile/{level}/{place:path}", tlog.tile, {"media": (tlog.OCTETS,)}),
    ("GET /api/health", about.health, {}),
    ("GET /api/config", about.config, {}),
    ("GET /api/docs", about.docs, {}),
    ("GET /api/metrics", about.metrics, {"media": ("text/plain",)}),
    ("GET /api/openapi.json", about.openapi_api, {}),
    ("GET /openapi.json", about.openapi_all, {}),
    ("GET /openapi_custom.json", about.openapi_all, {}),
    ("GET /", about.front_page, {"status": 307, "media": ()}),
    ("GET /docs", about.docs_page, {"media": ("text/html",)}),
    ("GET /docs/{asset}", about.docs_asset, {"media": tuple(about.ASSETS.values())}),
)

WAITS = "not ended: it works, or waits for a person"
# What is answered besides 200, and is no problem document.
BESIDES: dict[Callable[..., Any], tuple[int, type, str]] = {
    runs.process_log: (202, Run, WAITS),
    runs.process_log_reasoning: (202, ReasoningAnswer, WAITS),
    runs.start_run: (202, Run, WAITS),
    runs.get_run: (202, Run, WAITS),
    about.health: (503, about.Health, "something is not well"),
}


def build(gateway: Gateway, settings: about.About, large: LargePlaces | None = None) -> FastAPI:
    """The application; its `large` bodies take of the places that gRPC takes of.

    Its own pages are plain: FastAPI's would load scripts from elsewhere."""
    app = FastAPI(
        title="Provost",
        version=settings.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(admitted), Depends(spelled)],
    )
    app.state.gateway, app.state.about, app.state.bodies = gateway, settings, Bodies(large or LargePlaces())
    app.state.streams, app.state.unanswered = Streams(), Unanswered()
    for row, endpoint, more in ROUTES:
        method, path = row.split()
        app.router.add_api_route(path, endpoint, methods=[method], **_described(endpoint, **more))
    # Not by way of FastAPI, whose dependencies are those of requests: it is let in by what stands before it.
    app.router.routes.append(WebSocketRoute(PATH, watch_events))
    app.add_exception_handler(Fault, problems.on_fault)
    app.add_exception_handler(RequestValidationError, problems.on_parameters)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_middleware(Edge)
    return app


def _described(
    endpoint: Callable[..., Any],
    body: type[Shape] | None = None,
    media: tuple[str, ...] = JSON,
    status: int = 200,
    deprecated: bool = False,
) -> dict[str, Any]:
    """What the interface says of a route besides its signature; `media` are the types of an answer that is not JSON."""
    problem = {"content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    whys = {400: "not understood", 401: "no key, or an unknown one", 403: "the key's role may not"}
    whys |= {429: "more than the rate allows", 503: "something behind the gateway does not answer"}
    extra: dict[str, Any] = {}
    answers: dict[int | str, dict[str, Any]] = {
        code: {"description": why, **problem} for code, why in whys.items()
    }
    answers["default"] = {"description": "anything else that keeps it from being done", **problem}
    if media is not JSON:
        text = {"schema": {"type": "string"}}
        answers[status] = {"content": dict.fromkeys(media, text), "description": "as it is asked for"}
    if body is not None:
        content: dict[str, Any] = {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
        }
        if body is ProcessLogBody:
            answers[413] = {"description": "larger than 32 MiB", **problem}
            content |= {kind: {"schema": {"type": "string"}} for kind in runs.RAW_TYPES}
        extra["requestBody"] = {"required": body not in (RevokeBody, WhyBody), "content": content}
    if endpoint in BESIDES:
        code, model, what = BESIDES[endpoint]
        answers[code] = {"description": what, "model": model}
    return {
        "summary": (endpoint.__doc__ or "").strip().split("\n", 1)[0].rstrip("."),
        "deprecated": deprecated or None,
        "response_class": JSONResponse if media is JSON else Response,
        "status_code": status,
        "response_model_exclude_none": True,
        "openapi_extra": extra,
        "responses": answers,
        "name": f"{endpoint.__module__.rpartition('.')[2]}.{endpoint.__name__}",
    }
