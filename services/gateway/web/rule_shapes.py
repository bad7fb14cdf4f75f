"""What may be asked over REST about rules, budgets and agents' standing."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from services.gateway.web.shapes import AgentId, ModeName, Shape, Text, Token, example

Document = Annotated[str, StringConstraints(min_length=1, max_length=1_100_000)]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
MaybeVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
MaybeToken = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,128}$")]
Why = Annotated[str, StringConstraints(max_length=1000)]
Short = Annotated[str, StringConstraints(max_length=128)]
TierName = Literal["T0_OBSERVER", "T1_OPERATOR", "T2_BUILDER", "T3_EXECUTOR", "T4_ARCHITECT"]
UnitName = Literal["actions", "tokens", "money_micros", "errors", "hosts"]
Again = Annotated[Token | None, Field(description="sent again, it has one effect")]
Amount = Annotated[int, Field(ge=0, le=10**15)]


class DocumentBody(Shape):
    document: Annotated[Document, Field(description="a policy set, YAML, at most 1 MiB")]


class PublishBody(DocumentBody):
    replaces: Annotated[
        Version, Field(description="the version in force; if it is another one, nothing is changed")
    ]
    why: Why = ""
    request_id: Again = None


class RollbackBody(Shape):
    version: Annotated[Version, Field(description="one that was in force")]
    replaces: Annotated[
        Version, Field(description="the version in force; if it is another one, nothing is changed")
    ]
    why: Why = ""
    request_id: Again = None


class _OneSet(Shape):
    model_config = example(version="1")

    document: Annotated[
        str, StringConstraints(max_length=1_100_000), Field(description="a policy set, YAML")
    ] = ""
    version: Annotated[MaybeVersion, Field(description="or one that was in force")] = ""

    @model_validator(mode="after")
    def _one(self) -> "_OneSet":
        if bool(self.document) == bool(self.version):
            raise ValueError("give a document or a version, one of both")
        return self


class DiffBody(_OneSet):
    old_version: Annotated[MaybeVersion, Field(description="compared with it; else that in force")] = ""


class SimulateBody(_OneSet):
    # JSON has no times: these are texts, and nothing else is converted.
    from_time: Annotated[
        AwareDatetime | None, Field(strict=False, description="RFC 3339; else the beginning")
    ] = None
    to_time: Annotated[AwareDatetime | None, Field(strict=False, description="before it; else now")] = None
    agent_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    max_flips: Annotated[
        int, Field(ge=0, le=100_000, description="told one by one; 0 is 1000. All are counted")
    ] = 0


class ExplainBody(Shape):
    model_config = example(agent_id="sre-1", action="service.restart", environment="production")

    agent_id: AgentId
    action: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    task_id: Annotated[
        MaybeToken, Field(description="the agent's packet has to be of it; else that which it is of")
    ] = ""
    run_id: Annotated[Token, Field(description="with its labels")] = "explain"
    mode: ModeName = "auto"
    target: Text = ""
    environment: Literal["sandbox", "staging", "production"] = "sandbox"
    parameters: Annotated[dict[Short, Text], Field(max_length=64, default_factory=dict)]
    steps_done: Annotated[list[Short], Field(max_length=64, default_factory=list)]
    tier: Annotated[TierName | None, Field(description="as if the agent had it")] = None
    version: Annotated[MaybeVersion, Field(description="under this set; else that in force")] = ""


class BudgetBody(Shape):
    model_config = example(scope="agent", scope_id="sre-1", limits={"actions": 100}, window_seconds=86_400)

    scope: Literal["run", "agent", "task", "tenant"]
    scope_id: Annotated[Short, Field(description="of the run, agent or task; none for the tenant")] = ""
    limits: Annotated[dict[UnitName, Amount], Field(description="none: what was set by hand is taken back")]
    window_seconds: Annotated[
        int, Field(ge=0, le=366 * 86_400, description="begins anew so often; 0: never")
    ] = 0
    why: Why = ""
    request_id: Again = None

    @model_validator(mode="after")
    def _whose(self) -> "BudgetBody":
        if (self.scope == "tenant") == bool(self.scope_id):
            raise ValueError(
                "a budget of a run, agent or task needs its scope_id, and that of the tenant has none"
            )
        return self


class RegisterBody(Shape):
    model_config = example(agent_id="mine-1", tier="T0_OBSERVER", parent_agent_id="")

    agent_id: AgentId
    tier: TierName = "T0_OBSERVER"
    agent_version: Short = ""
    parent_agent_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    request_id: Again = None


class WhyBody(Shape):
    why: Why = ""
    request_id: Again = None


class MoveBody(WhyBody):
    to_tier: TierName


BODIES: tuple[type[Shape], ...] = (
    DocumentBody, PublishBody, RollbackBody, DiffBody, SimulateBody, ExplainBody, BudgetBody, RegisterBody, WhyBody,
    MoveBody,
)  # fmt: skip
