"""The gateway about itself: health, settings, metrics, its interface."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel

from services.gateway.domain.records import Component
from services.gateway.domain.rights import REST
from services.gateway.web import sockets
from services.gateway.web.auth import Doors
from services.gateway.web.bodies import MAX_BODY_BYTES, MAX_LOG_BYTES
from services.gateway.web.problems import Problem
from services.gateway.web.rule_shapes import BODIES as RULE_BODIES
from services.gateway.web.shapes import BODIES

PAGE = Path(__file__).parent.parent / "docs_page"
# As the interface names them, which does not say that a parameter may hold slashes.
RIGHTS = {row.replace(":path}", "}"): right for row, right in REST.items()}
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


class _OfNoTenant(Collector):
    """All families that anyone may read."""

    def collect(self) -> Iterator[Metric]:
        for family in REGISTRY.collect():
            if not any("tenant" in sample.labels for sample in family.samples):
                yield family


@dataclass(frozen=True, slots=True)
class About:
    """What anyone may know about how this gateway is set."""

    version: str
    authentication: str
    rate_limit_requests: int
    rate_limit_window_seconds: float
    enable_reflection: bool
    max_reasoning_cycles: int
    target_reasoning_score: float
    enable_tracing: bool
    modes: tuple[str, ...] = ("safe", "assisted", "auto")
    strategies: tuple[str, ...] = ("classic", "reflective")
    websocket_url: str = ""
    max_log_bytes: int = MAX_LOG_BYTES
    max_body_bytes: int = MAX_BODY_BYTES
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`ok` only if every component is."""

    status: str
    version: str
    authentication: str
    components: tuple[Component, ...]
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    summary: str
    role: str


async def health(request: Request, response: Response, gateway: Doors) -> Health:
    """How everything is: 200 when all is well, else 503."""
    status = await gateway.status()
    response.status_code = 200 if status.healthy else 503
    about: About = request.app.state.about
    return Health(
        status="ok" if status.healthy else "degraded",
        version=status.version,
        authentication=about.authentication,
        components=status.components,
        warning=about.warning,
    )


async def config(request: Request) -> About:
    """The settings that are no secret."""
    about: About = request.app.state.about
    scheme = {"https": "wss"}.get(request.url.scheme, "ws")
    return replace(
        about, websocket_url=about.websocket_url or f"{scheme}://{request.url.netloc}{sockets.PATH}"
    )


async def docs(request: Request) -> list[Endpoint]:
    """Every endpoint there is, and the role it needs."""
    app: FastAPI = request.app
    return [
        Endpoint(method.upper(), path, operation["summary"], str(RIGHTS[f"{method.upper()} {path}"]))
        for path, methods in everything(app)["paths"].items()
        for method, operation in methods.items()
    ]


async def metrics() -> Response:
    """Prometheus metrics of this gateway, without those that name tenants: its metrics port has them."""
    return Response(generate_latest(_OfNoTenant()), media_type=CONTENT_TYPE_LATEST)


async def openapi_all(request: Request) -> JSONResponse:
    """The whole interface as OpenAPI 3.1."""
    return JSONResponse(everything(request.app))


async def openapi_api(request: Request) -> JSONResponse:
    """The `/api` part of the interface as OpenAPI 3.1."""
    whole = everything(request.app)
    paths = {path: methods for path, methods in whole["paths"].items() if path.startswith("/api/")}
    return JSONResponse(whole | {"paths": paths})


async def front_page() -> RedirectResponse:
    """Where a browser begins: the page."""
    return RedirectResponse("/docs")


async def docs_page() -> FileResponse:
    """A page to read the interface and to try it."""
    return FileResponse(PAGE / "page.html", media_type="text/html; charset=utf-8")


async def docs_asset(asset: str) -> FileResponse:
    """What that page needs."""
    if asset not in ASSETS:
        raise HTTPException(404, "no such asset")
    return FileResponse(PAGE / asset, media_type=ASSETS[asset])


def everything(app: FastAPI) -> dict[str, Any]:
    """The interface of `app`, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title="Provost",
            version=app.version,
            description="The control plane that lets AI agents operate infrastructure without being trusted.",
            routes=app.routes,
        )
        parts = schema.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for answered in schemas.values():
            _leave_out_nulls(answered)
        shapes: tuple[type[BaseModel], ...] = (*BODIES, *RULE_BODIES, Problem)
        for shape in shapes:
            made = shape.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(made.pop("$defs", {}))
            schemas[shape.__name__] = made
        parts["securitySchemes"] = {
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "query": {"type": "apiKey", "in": "query", "name": "api_key"},
        }
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                operation["responses"].pop("422", None)  # the framework's own; ours are problem documents
                right = RIGHTS[f"{method.upper()} {path}"]
                if right.roles:
                    operation["security"] = [{"header": []}, {"bearer": []}, {"query": []}]
                    operation["x-role"] = str(right)
        app.openapi_schema = schema
    return app.openapi_schema


def _leave_out_nulls(schema: dict[str, Any]) -> None:
    """What may be null is not required: answers leave it out when it is."""
    parts = schema.get("properties", {})
    nullable = {name for name, part in parts.items() if {"type": "null"} in part.get("anyOf", ())}
    if nullable:
        schema["required"] = [name for name in schema.get("required", ()) if name not in nullable]
