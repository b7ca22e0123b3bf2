"""Training speed of ours, Hugging Face + PyTorch and TF-Models, in one run.

    python -m benchmarks.training                        # CPU: 6 layers, hidden 256, batch 32, sequence 128
    python -m benchmarks.training --precision bfloat16
    python -m benchmarks.training --vocab 119547         # a multilingual vocabulary
    python -m benchmarks.training --gpu                  # `make bench-gpu`: BERT-base and 6 x 256 on a GPU

Every implementation lives in a process of its own; they take turns, a few steps a turn, so that what else
the machine does falls on all alike. A step is everything: reading and checking a batch of TFRecords, forward,
backward and optimizer. Printed: sequences per wall second and per CPU second (medians over turns), ratios
to ours, and the share of what the machine does in plain matrix products (the best turn). On a machine that
others use too, give --threads 1 and read the CPU columns: threads that wait for each other burn CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from benchmarks.training.implementations import MAKERS, PRODUCTS, Setting, accelerator, product_flops
from benchmarks.training.records import batches, write_examples
from stagedml.stages.bert.config import PRESETS, BertConfig

Results = dict[str, list[dict[str, float]]]
WARM_UP = 3
GPU_PACKAGES = {"jax": "jax[cuda12]", "torch": "torch", "transformers": "transformers"}


def worker(name: str, s: Setting, folder: Path) -> None:
    """Answers each line "n" on stdin with the wall and CPU seconds that n steps took."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: the answers have a channel of their own
    step = MAKERS[name](s)
    data = batches(folder, s)
    for _ in range(WARM_UP):
        loss = step(next(data))
    flops = product_flops() if name == PRODUCTS else 0.0
    print(json.dumps({"loss": loss, "flops": flops}), file=out, flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step(next(data))
        answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "flops": flops}
        print(json.dumps(answer), file=out, flush=True)


def measure(names: list[str], s: Setting, *, turns: int, steps: int, threads: int) -> Results:
    """Starts a process for each and lets them take turns; `threads` 0 leaves the number to them."""
    limits = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    env = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if threads:
        env |= dict.fromkeys(limits, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        write_examples(Path(folder), s)
        command = [sys.executable, "-m", "benchmarks.training", "--setting", json.dumps(asdict(s))]
        processes = {
            name: subprocess.Popen(
                [*command, "--records", folder, "--worker", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env,
            )
            for name in names
        }
        for name, p in processes.items():
            print(f"{name}: first losses {_answer(p)['loss']:.3f}", file=sys.stderr, flush=True)
        results: Results = {name: [] for name in names}
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


def show(s: Setting, results: Results, *, steps: int) -> None:
    """Prints a Markdown table; the first implementation is the one that the others are set against."""
    gflop = BertConfig(**s.sizes).train_flops(s.length, s.predictions) / 1e9
    products = results.pop(PRODUCTS)
    peak = {k: steps * max(r["flops"] / r[k] for r in products) / 1e9 for k in ("wall", "cpu")}
    print(f"\n{s}: {gflop:.2f} GFLOP a sequence.")
    print(f"Matrix products: {peak['wall']:.0f} GFLOP/s, {peak['cpu']:.0f} per CPU second.\n")
    print(
        "| implementation | sequences/s | of the peak | ours / this | per CPU s | of the peak | ours / this |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rate = {
        n: {k: steps * s.batch / statistics.median(r[k] for r in rs) for k in ("wall", "cpu")}
        for n, rs in results.items()
    }
    ours = next(iter(rate.values()))
    for name, r in rate.items():
        cells = [
            f"{r[k]:.1f} | {100 * gflop * r[k] / peak[k]:.0f}% | {ours[k] / r[k]:.2f}"
            for k in ("wall", "cpu")
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def on_gpu(*, tiny: bool, turns: int, steps: int) -> None:
    """The two settings of the goals, ours on JAX against Hugging Face under `torch.compile`, in bfloat16."""
    missing = [package for module, package in GPU_PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise SystemExit(f"error: {', '.join(missing)} missing\n  pip install {' '.join(missing)}")
    os.environ["KERAS_BACKEND"] = "jax"
    name = accelerator()
    if not name and not tiny:
        raise SystemExit("error: JAX finds no GPU\n  pip install 'jax[cuda12]', or try it with --tiny")
    print(f"On {name or 'a CPU'}. Goals on an H200: 6,300 sequences/s with BERT-base, 65,000 with 6 x 256.")
    settings = [Setting(12, 768, batch=256), Setting(6, 256, batch=1024)]
    if tiny:
        settings = [Setting(2, 128, vocab=2000, batch=8), Setting(1, 64, vocab=2000, batch=16)]
    for s in settings:
        s = Setting(**{**asdict(s), "precision": "bfloat16"})
        names = ["ours", "huggingface-compiled", PRODUCTS]
        show(s, measure(names, s, turns=turns, steps=steps, threads=0), steps=steps)


def main() -> None:
    """Measures and prints Markdown tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gpu", action="store_true", help="the settings of the goals, on JAX and torch.compile")
    p.add_argument("--tiny", action="store_true", help="with --gpu: small sizes, to try it on a CPU")
    p.add_argument("--preset", choices=PRESETS)
    p.add_argument("--layers", type=int, default=6)
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--vocab", type=int, default=30522)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    p.add_argument("--turns", type=int, default=5)
    p.add_argument("--steps", type=int, help="a turn; 2, on a GPU 20")
    p.add_argument("--threads", type=int, default=0, help="1: CPU seconds hold on a busy machine too")
    p.add_argument("--only", nargs="+", choices=MAKERS, default=["ours", "huggingface", "tfmodels"])
    for hidden in ("--worker", "--setting", "--records"):
        p.add_argument(hidden, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        worker(a.worker, Setting(**json.loads(a.setting)), Path(a.records))
        return
    if a.gpu:
        on_gpu(tiny=a.tiny, turns=a.turns, steps=a.steps or (2 if a.tiny else 20))
        return
    layers, hidden = a.layers, a.hidden
    if a.preset:
        layers, hidden = PRESETS[a.preset]["num_hidden_layers"], PRESETS[a.preset]["hidden_size"]
    s = Setting(layers, hidden, a.vocab, a.batch, a.length, 20, a.precision)
    names, steps = [n for n in a.only if n != PRODUCTS], a.steps or 2
    show(s, measure([*names, PRODUCTS], s, turns=a.turns, steps=steps, threads=a.threads), steps=steps)


if __name__ == "__main__":
    main()
