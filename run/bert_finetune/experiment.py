"""Realizes everything that the report shows: `make train`."""

from __future__ import annotations

import sys

from bert_finetune_experiment import (
    SCALE,
    experiment_allglue,
    experiment_bs,
    experiment_why,
    metric_summary,
    official,
)

from stagedml.errors import StagedmlError


def main() -> int:
    """0 when all is there, 2 with one message when something failed."""
    print(f"The {SCALE.name} scale, on {SCALE.text}: {SCALE.cost}", flush=True)
    try:
        for task_name, rrefs in experiment_allglue().items():
            scores = ", ".join(f"{name} {value:.2f}" for name, value in official(rrefs[0]).items())
            print(f"{task_name}: {scores}", flush=True)
        for batch_size, rrefs in experiment_bs(SCALE.runs, exclude=["+f1v2"]).items():
            print(
                f"MRPC, batch {batch_size}: {metric_summary(rrefs, 'evaluate', 'eval_accuracy')}", flush=True
            )
        for name, rrefs in experiment_why(SCALE.runs).items():
            print(f"MRPC, {name}: {metric_summary(rrefs, 'evaluate', 'eval_accuracy')}", flush=True)
    except StagedmlError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print("All is there: `make report` shows it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
