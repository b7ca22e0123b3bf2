"""What a training is told and what it answers; nothing here imports a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stagedml.errors import ConfigError, StagedmlError
from stagedml.progress import Progress
from stagedml.stages.bert.optimizer import OptimizerSpec


class TrainingError(StagedmlError):
    """A training cannot go on; the message says at which step and where the last good state is."""


@dataclass(frozen=True)
class TrainSpec:
    """What is trained: every field may change the result."""

    steps: int
    seed: int = 0
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    accumulate: int = 1
    log_every: int = 50

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 0),
            ("accumulate", 1),
            ("log_every", 1),
        ):  # no steps: weights as they begin
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, must be at least {least}", where="training"
                )

    @property
    def horizon(self) -> int:
        """The step at which the schedule ends."""
        return self.steps if self.optimizer.horizon is None else self.optimizer.horizon

    def identity(self) -> dict[str, Any]:
        """What two parts of one training must agree on: all but where it stops."""
        return {**asdict(self), "steps": None, "horizon": self.horizon}


@dataclass
class Runtime:
    """Where and how a training runs; no field changes the result."""

    logs: Path | None = None
    scratch: Path | None = None
    progress: Progress = field(default_factory=Progress)
    on_resume: Callable[[str], None] = lambda where: None
    initial: Path | None = None  # a finished training's state to extend (see `save_final`)
    save_final: Path | None = None  # where to leave the last state, for a later extension
    checkpoint_every: int | None = None  # steps; None: as often as costs at most 3% of the time
    keep: int = 2
    xla: bool = False
    strategy: Any = None  # of `strategy_of`, under whose scope the model was made


@dataclass(frozen=True)
class TrainResult:
    """What a training did: `scalars` holds (step, folder, tag, value), `seconds` this call's time."""

    step: int
    scalars: list[tuple[int, str, str, float]]
    evals: list[tuple[int, dict[str, dict[str, float]]]]
    seconds: float
    resumed_at: int | None

    def curve(self, folder: str, tag: str) -> list[tuple[int, float]]:
        """One tag's points."""
        return [(step, value) for step, f, t, value in self.scalars if (f, t) == (folder, tag)]
