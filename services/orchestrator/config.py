"""Settings of the orchestrator, of its built-in crew and of the actuators."""

from pathlib import Path

from pydantic import Field

from chassis.config import LlmEndpoint, ServiceSettings


class OrchestratorSettings(ServiceSettings):
    enable_reflection: bool = Field(True, alias="ENABLE_REFLECTION")
    max_reasoning_cycles: int = Field(2, alias="MAX_REASONING_CYCLES", ge=1, le=10)
    target_reasoning_score: float = Field(0.7, alias="TARGET_REASONING_SCORE", ge=0.0, le=1.0)
    agents_port: int = Field(0, alias="PROVOST_AGENTS_PORT", ge=0, le=65535)
    crew_size: int = Field(8, alias="PROVOST_CREW_SIZE", ge=1, le=64)

    llm_endpoint: LlmEndpoint = ""
    db_path: Path = Field(Path("devops_knowledge.db"), alias="DB_PATH")

    @property
    def reasoning(self) -> tuple[bool, int, float]:
        """Whether built-in agents reflect, at most how often, and up to which score."""
        return self.enable_reflection, self.max_reasoning_cycles, self.target_reasoning_score

    @property
    def knowledge(self) -> Path:
        """May be deleted at any time: it is made anew from the event log."""
        return self.within_home(self.db_path)

    @property
    def crew(self) -> frozenset[str]:
        """The ids of the built-in agents."""
        return frozenset(f"sre-{n}" for n in range(1, self.crew_size + 1))
