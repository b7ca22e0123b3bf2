"""Training speed of ours, Hugging Face + PyTorch and TF-Models, in one run.

    python -m benchmarks.training                        # CPU: 6 layers, hidden 256, batch 32, sequence 128
    python -m benchmarks.training --precision bfloat16
    python -m benchmarks.training --vocab 119547         # a multilingual vocabulary
    KERAS_BACKEND=jax python -m benchmarks.training --preset base --batch 256 --precision bfloat16 \
        --only ours huggingface-compiled                 # on a machine with a GPU

Every implementation lives in a process of its own; they take turns, a few steps a turn, so that what else
the machine does falls on all alike. Printed: sequences per wall second and per CPU second (medians over
turns), and ratios of medians to ours. On a machine that others use too, give
--threads 1 and read the CPU columns: threads that wait for each other burn CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np

from benchmarks.training.implementations import MAKERS, Batch, Setting
from stagedml.stages.bert.config import PRESETS, BertConfig


def batch_of(s: Setting, seed: int) -> Batch:
    """Random words without padding: the worst case, and the same for all."""
    rng = np.random.default_rng(seed)
    shape = (s.batch, s.length)
    places = np.stack([np.sort(rng.permutation(s.length)[: s.predictions]) for _ in range(s.batch)])
    return {
        "input_ids": rng.integers(5, s.vocab, shape, dtype=np.int32),
        "input_mask": np.ones(shape, np.int32),
        "segment_ids": np.zeros(shape, np.int32),
        "masked_lm_positions": places.astype(np.int32),
        "masked_lm_ids": rng.integers(5, s.vocab, (s.batch, s.predictions), dtype=np.int32),
        "masked_lm_weights": np.ones((s.batch, s.predictions), np.float32),
        "next_sentence_labels": rng.integers(0, 2, (s.batch, 1), dtype=np.int32),
    }


def worker(name: str, s: Setting) -> None:
    """Answers each line "n" on stdin with the wall and CPU seconds that n steps took."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: the answers have a channel of their own
    step = MAKERS[name](s)
    batches = [batch_of(s, i) for i in range(4)]
    for i in range(2):
        loss = step(batches[i])
    print(json.dumps({"loss": loss}), file=out, flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for i in range(int(line)):
            step(batches[i % 4])
        answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(answer), file=out, flush=True)


def measure(
    names: list[str], s: Setting, turns: int, steps: int, threads: int
) -> dict[str, list[dict[str, float]]]:
    """Starts a process for each and lets them take turns; `threads` 0 leaves the number to them."""
    limits = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if threads:
        env |= dict.fromkeys(limits, str(threads))
    processes = {}
    for name in names:
        command = [
            sys.executable,
            "-m",
            "benchmarks.training",
            "--worker",
            name,
            "--setting",
            json.dumps(asdict(s)),
        ]
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        processes[name] = p
        print(f"{name}: first losses {_answer(p)['loss']:.3f}", file=sys.stderr, flush=True)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(turns):
        for name, p in processes.items():
            assert p.stdin is not None
            p.stdin.write(f"{steps}\n")
            p.stdin.flush()
            results[name].append(_answer(p))
    for p in processes.values():
        assert p.stdin is not None
        p.stdin.close()
        p.wait()
    return results


def _answer(p: subprocess.Popen[str]) -> dict[str, float]:
    assert p.stdout is not None
    line = p.stdout.readline()
    if not line:
        raise SystemExit(f"a worker ended with status {p.wait()}")
    values: dict[str, float] = json.loads(line)
    return values


def main() -> None:
    """Measures and prints a Markdown table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=PRESETS)
    p.add_argument("--layers", type=int, default=6)
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--vocab", type=int, default=30522)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    p.add_argument("--turns", type=int, default=5)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--threads", type=int, default=0, help="1: CPU seconds hold on a busy machine too")
    p.add_argument("--only", nargs="+", choices=MAKERS, default=["ours", "huggingface", "tfmodels"])
    p.add_argument("--worker", choices=MAKERS, help=argparse.SUPPRESS)
    p.add_argument("--setting", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        worker(a.worker, Setting(**json.loads(a.setting)))
        return
    layers, hidden = a.layers, a.hidden
    if a.preset:
        layers, hidden = PRESETS[a.preset]["num_hidden_layers"], PRESETS[a.preset]["hidden_size"]
    s = Setting(layers, hidden, a.vocab, a.batch, a.length, 20, a.precision)
    results = measure(a.only, s, a.turns, a.steps, a.threads)
    rate = {
        n: {k: a.steps * s.batch / statistics.median(r[k] for r in rs) for k in ("wall", "cpu")}
        for n, rs in results.items()
    }
    gflop = BertConfig(**s.sizes).train_flops(s.length, s.predictions) / 1e9
    print(
        f"\n{s}: {gflop:.2f} GFLOP a sequence, {a.turns} turns of {a.steps} steps, "
        f"threads {a.threads or 'as they come'}\n"
    )
    print("| implementation | sequences/s | per CPU second | GFLOP/s | ours / this (wall) | (CPU) |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = rate[a.only[0]]
    for n, r in rate.items():
        ratios = f"{first['wall'] / r['wall']:.2f} | {first['cpu'] / r['cpu']:.2f}"
        print(f"| {n} | {r['wall']:.1f} | {r['cpu']:.1f} | {gflop * r['wall']:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
