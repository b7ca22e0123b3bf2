"""Many fine-tunings at once: a grid of settings, a sample of runs for each, in parallel.

runs = {
    (bs, lr): partial(all_minibert_finetune_glue, train_batch_size=bs, lr=lr, task_name="RTE")
    for bs in (16, 32) for lr in (2e-5, 5e-5)
}
results = realize_study(runs, num_instances=5, jobs=2)
metric_summary(results[16, 2e-5], "evaluate", "eval_accuracy")
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from stagedml import (
    Build,
    DRef,
    Manager,
    RRef,
    instantiate,
    match_some,
    promise,
    realize,
    realizeMany,
    redefine,
    stage,
)
from stagedml.errors import ConfigError
from stagedml.executors.processes import Processes
from stagedml.stage import Stage

Key = TypeVar("Key", bound=Hashable)


@stage(name="study")
def study_stage(b: Build, runs: dict[str, str], done: Path = promise("done.txt")) -> None:
    """Depends on every run of a study, so that one closure holds them all."""
    done.write_text(f"{len(runs)} settings\n", encoding="utf-8")


def realize_study(
    runs: Mapping[Key, Stage], *, num_instances: int = 1, jobs: int = 1, executor: Any = None
) -> dict[Key, list[RRef]]:
    """Realizes `num_instances` runs of each stage and returns them under its key.

    All are built in one go, `jobs` at a time, or where `executor` says. What is there already is used.
    Raises `ConfigError` for no runs, `BuildError` when one fails.
    """
    if not runs:
        raise ConfigError("a study of nothing", where="realize_study")
    sampled = {key: redefine(run, new_matcher=match_some(num_instances)) for key, run in runs.items()}

    def everything(m: Manager) -> DRef:
        parts = list(dict.fromkeys(run(m, num_instances=num_instances) for run in sampled.values()))
        return study_stage(m, runs={str(i): part for i, part in enumerate(parts)})

    if executor is None and jobs > 1:
        executor = Processes(jobs)
    realize(instantiate(everything), executor=executor)
    return {key: realizeMany(instantiate(run, num_instances=num_instances)) for key, run in sampled.items()}
