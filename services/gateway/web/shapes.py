"""What may be asked over REST, and how a mistake in it is told: every field by its name, never what it held."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from services.gateway.domain.faults import InvalidFields, LogEmpty
from services.gateway.domain.records import Vote
from services.gateway.domain.runs import Evidence, Run

Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
AgentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ModeName = Literal["safe", "assisted", "auto"]
VoteName = Literal["approve", "reject", "request_changes"]
StrategyName = Literal["classic", "reflective"]
Text = Annotated[str, StringConstraints(max_length=4000)]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=200)]
S = TypeVar("S", bound=BaseModel)


def _log_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a string: the text of the log")
    return value


# Any string: pydantic's own refuses the surrogates that stand for bytes which are not UTF-8.
LogText = Annotated[Any, BeforeValidator(_log_text), WithJsonSchema({"type": "string", "minLength": 1})]


def example(**fields: JsonValue) -> ConfigDict:
    """What the interface shows of a shape that its required fields alone do not explain."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Shape(BaseModel):
    """Types are as in JSON, nothing is converted; a field that nobody knows is refused: misspelt, it would be a
    parent, an environment or a window that is left out."""

    model_config = ConfigDict(strict=True, extra="forbid")


class LenientShape(Shape):
    """Fields that nobody knows are ignored and named in the answer: logs come from programs that were written for
    other services, too, and send settings of a language model that there is none of here."""

    model_config = ConfigDict(extra="ignore")


class LlmConfig(LenientShape):
    strategy: Annotated[
        StrategyName | None, Field(description="`classic`: one pass; `reflective`: it criticises itself")
    ] = None


class ProcessLogBody(LenientShape):
    model_config = example(
        log="Jan 01 00:00:01 web1 kernel: Out of memory: Killed process 4242 (java)\n",
        mode="safe",
        include_trace=True,
        llm_config={"strategy": "classic"},
    )

    log: Annotated[LogText, Field(description="the log's text, at most 32 MiB")]
    mode: Annotated[ModeName, Field(description="how far the run may act")] = "safe"
    include_trace: Annotated[bool, Field(description="answer each reasoning cycle too")] = True
    llm_config: LlmConfig | None = None
    agent: Annotated[AgentId | None, Field(description="one agent; none: a free one of the crew")] = None
    request_id: Annotated[Token | None, Field(description="sent again, it is the same run")] = None
    forbidden: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
        Field(description="action patterns that must not be tried, as `ansible.*`", max_length=100),
    ] = []

    subject: Annotated[
        Subject | None, Field(description="whose data it is, to be erased by this name; none: the run's own")
    ] = None


class StartRunBody(Shape):
    model_config = example(agent="sre-1", task="look-around", objective="check the disks", mode="safe")

    agent: AgentId
    task: Token
    objective: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    mode: ModeName = "safe"
    request_id: Token | None = None
    subject: Subject | None = None


class AnswerBody(Shape):
    """`vote`, or the older `approve`, which knows yes and no alone."""

    model_config = example(vote="approve", comment="")

    vote: VoteName | None = None
    approve: bool | None = None
    comment: Annotated[Text, Field(description="why; `request_changes` needs it: what to ask instead")] = ""
    request_id: Annotated[Token | None, Field(description="sent again, it is the same answer")] = None

    @property
    def said(self) -> Vote:
        """The vote. Raises InvalidFields: there is none, or two that differ."""
        said = (Vote(self.vote) if self.vote else None, _VOTES[self.approve])
        known = {each for each in said if each is not None}
        if len(known) == 1:
            return known.pop()
        reason, problem = (
            ("FIELD_INVALID", "says something else") if known else ("FIELD_MISSING", "is required")
        )
        words = f"{problem}: approve, reject or request_changes (or approve: true, false)"
        raise InvalidFields(reason, (("vote", words),))


_VOTES = {True: Vote.APPROVE, False: Vote.REJECT, None: None}


class RevokeBody(Shape):
    reason: Text = ""
    wait_ms: Annotated[
        int, Field(ge=0, le=10_000, description="how long to wait for everyone's word; 0 is two seconds")
    ] = 0
    request_id: Annotated[Token | None, Field(description="sent again, it is the same revocation")] = None


class EraseBody(Shape):
    subject: Annotated[Subject, Field(description="as it was given with the log, or `run:<run_id>`")]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    request_id: Annotated[Token | None, Field(description="sent again, it is the same erasure")] = None


class ReleaseBody(Shape):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    request_id: Annotated[Token | None, Field(description="sent again, it is the same release")] = None


class AcknowledgeBody(Shape):
    agent_id: Annotated[AgentId, Field(description="whose messages they are")]
    up_to_sequence: Annotated[
        int, Field(ge=0, lt=1 << 63, description="everything that it was sent up to this place of the log")
    ] = 0
    message_ids: Annotated[list[Token], Field(max_length=1000, description="or these")] = []
    request_id: Annotated[Token | None, Field(description="sent again, it is the same")] = None


BODIES: tuple[type[Shape], ...] = (
    ProcessLogBody,
    StartRunBody,
    AnswerBody,
    RevokeBody,
    EraseBody,
    ReleaseBody,
    AcknowledgeBody,
)


class Reasoning(BaseModel):
    """What the older form answers: the reasoning alone."""

    run_id: str
    severity: str
    cause: str
    confidence: float
    summary: str
    evidence: list[Evidence]
    cycles: list[Any]


class ReasoningAnswer(BaseModel):
    reasoning: Reasoning


def reasoning_of(run: Run) -> ReasoningAnswer:
    """The reasoning of `run`; empty where it has not come to any."""
    incident = run.incident
    return ReasoningAnswer(
        reasoning=Reasoning(
            run_id=run.run_id,
            severity=incident.severity if incident else "",
            cause=incident.cause if incident else "",
            confidence=incident.confidence if incident else 0.0,
            summary=incident.summary if incident else run.outcome.summary,
            evidence=list(incident.evidence) if incident else [],
            cycles=list(run.trace or ()),
        )
    )


def shaped(shape: type[S], value: object) -> S:
    """`value`, a parsed JSON document, as `shape`.

    Raises:
        InvalidFields: naming each field that is missing or not as it has to be.
        LogEmpty: there is a log, and nothing is in it.
    """
    if not isinstance(value, dict):
        raise InvalidFields("MALFORMED_MESSAGE", (("body", "must be a JSON object"),))
    try:
        made = shape.model_validate(value)
    except ValidationError as error:
        raise _invalid(error, shape) from None
    if isinstance(made, ProcessLogBody) and not made.log.strip():
        raise LogEmpty
    return made


def ignored(shape: type[BaseModel], value: dict[str, Any], prefix: str = "") -> tuple[str, ...]:
    """The fields in `value` that `shape` does not know, at most 20 of them, their names cut and inert."""
    names = [prefix + _inert(name) for name in value if name not in shape.model_fields]
    inner = value.get("llm_config")
    if shape is ProcessLogBody and isinstance(inner, dict):
        names.extend(ignored(LlmConfig, inner, "llm_config."))
    return tuple(names[:20])


def _invalid(error: ValidationError, shape: type[BaseModel]) -> InvalidFields:
    known = f"is no field of this; there are {', '.join(sorted(shape.model_fields))}"
    found = error.errors(include_url=False, include_input=False, include_context=False)
    reason = "FIELD_MISSING" if all(each["type"] == "missing" for each in found) else "FIELD_INVALID"
    return InvalidFields(
        reason,
        tuple(
            (".".join(_inert(str(part)) for part in each["loc"]), _said(each["type"], each["msg"], known))
            for each in found[:20]
        ),
    )


def _said(kind: str, text: str, known: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return known
    if kind == "string_unicode":
        return "is not UTF-8: save it as UTF-8, and send that"
    said = text.removeprefix("Value error, ").replace("Input should be", "must be")
    return said.replace("String should have", "must have")


def _inert(name: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in name[:64])
