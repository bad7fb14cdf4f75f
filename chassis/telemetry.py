"""Logs: one inert line per record, as `text`, `json` or `kv`, without secrets.

What is logged may come from a hostile log, so no value can start a new line, move a cursor or end a string. `service`,
`tenant` and `run` are in every record made while a call is handled.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, ProcessorReturnValue, WrappedLogger

from chassis import process, tracing
from chassis.config import ServiceSettings

Render = Callable[[MutableMapping[str, Any]], str]

_SECRET_KEY = re.compile(r"key|token|secret|password|passwd|authorization|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s/@]+@")
# C0, DEL, C1, line and paragraph separators, bidirectional overrides, surrogates: what could act on a viewer.
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN = re.compile(r"[^\s\"=\\]+")

_call: ContextVar[tuple[str, str]] = ContextVar("provost_call", default=("", ""))


def get_logger(name: str = "") -> FilteringBoundLogger:
    """A logger; `name` says which part of the process speaks."""
    return cast(FilteringBoundLogger, structlog.get_logger(part=name) if name else structlog.get_logger())


def enter_call(tenant: str, run: str) -> None:
    """From here on, in this task, records carry `tenant` and `run`."""
    _call.set((tenant, run))


def configure(service: str, settings: ServiceSettings, out: TextIO | None = None) -> None:
    """Log as `settings` say, to `out` (standard error); trace if `ENABLE_TRACING`."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    render = RENDERERS[settings.log_format]
    write = _writer(out or sys.stderr)
    stamp = _stamper(service)

    def emit(_logger: WrappedLogger, method: str, event: EventDict) -> ProcessorReturnValue:
        write(render(inert(stamp(method, event))))
        raise structlog.DropEvent

    structlog.configure(
        processors=[emit],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_FromLogging(service, lambda event: write(render(inert(event))))]
    root.setLevel(max(level, logging.WARNING))  # of libraries, what goes wrong
    if settings.enable_tracing:
        tracing.start(service, settings.traces_exporter, settings.otlp_endpoint)


def inert(event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`event` with secrets masked, exceptions told in one line, and every control character escaped."""
    failure = event.pop("exc_info", None)
    if failure:
        event["error"], event["at"] = _told(failure)
    return {escape(str(key)): _harmless(str(key), value) for key, value in event.items()}


def escape(text: str) -> str:
    r"""`text` in which every character that could act on a reader is written as `\xNN` or `\uNNNN`."""
    return _ACTIVE.sub(_as_escape, text)


def text(event: MutableMapping[str, Any]) -> str:
    """For people: time, level, service, message, then what is known about it."""
    time, level, service, message = (event.pop(key, "") for key in ("time", "level", "service", "event"))
    rest = _pairs(event)
    return f"{time} {level.upper():<7} {service:<12} {message}" + (f"   {rest}" if rest else "")


def kv(event: MutableMapping[str, Any]) -> str:
    """For grep: `key=value`, values quoted when they hold spaces, quotes or `=`."""
    return _pairs(event)


def as_json(event: MutableMapping[str, Any]) -> str:
    """For machines: one JSON object."""
    return json.dumps(event, ensure_ascii=False, default=str)


RENDERERS: Mapping[str, Render] = {"text": text, "json": as_json, "kv": kv}


def _pairs(event: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in event.items())


def _quoted(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return shown if _PLAIN.fullmatch(shown) else json.dumps(shown, ensure_ascii=False)


def _as_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _harmless(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {escape(str(inner)): _harmless(str(inner), each) for inner, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(key, each) for each in value]
    if _SECRET_KEY.search(key):
        return "***"
    shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return escape(_URL_PASSWORD.sub(r"\1***@", shown))


def _told(failure: Any) -> tuple[str, str]:
    """An exception in one line, and where it came from, innermost first."""
    error = failure if isinstance(failure, BaseException) else sys.exc_info()[1]
    if isinstance(failure, tuple):
        error = failure[1]
    if error is None:
        return "", ""
    chain: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < 4:
        chain.append(f"{type(seen).__name__}: {seen}" if str(seen) else type(seen).__name__)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = [
        f"{'/'.join(each.filename.split('/')[-2:])}:{each.lineno} {each.name}" for each in reversed(frames)
    ]
    return " ← ".join(chain), " < ".join(places)


def _stamper(service: str) -> Callable[[str, EventDict], EventDict]:
    def stamp(method: str, event: EventDict) -> EventDict:
        tenant, run = _call.get()
        stamped: EventDict = {
            "time": process.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "error" if method == "exception" else method,
            "service": service,
            "event": event.pop("event", ""),
        }
        if tenant:
            stamped["tenant"] = tenant
        if run:
            stamped["run"] = run
        return {**stamped, **event}

    return stamp


def _writer(out: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        out.write(line + "\n")
        out.flush()

    return write


class _FromLogging(logging.Handler):
    """What libraries say through `logging`, told the same way."""

    def __init__(self, service: str, emit: Callable[[EventDict], None]) -> None:
        super().__init__()
        self._stamp = _stamper(service)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        event: EventDict = {"event": record.getMessage(), "part": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self._emit(self._stamp(record.levelname.lower(), event))
