"""Running one tool as a process of its own, and what it cost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARITY = ROOT / ".venv-parity" / "bin" / "python"
WIKIEXTRACTOR = ROOT / ".venv-bench" / "wikiextractor"


@dataclass(frozen=True)
class Cost:
    """Seconds of one process and its children: by the clock and of processors; what its program printed."""

    wall: float
    cpu: float
    answer: Any = None


def run(*command: str | Path, timeout: float = 1800) -> Cost:
    """Runs a command. Raises `SystemExit` with the end of its messages when it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": ""}
    begun, before = time.perf_counter(), _children()
    done = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )
    wall, cpu = time.perf_counter() - begun, _children() - before
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    last = done.stdout.strip().rpartition("\n")[2]
    return Cost(wall, cpu, json.loads(last) if last.startswith("{") else None)


def program(name: str, *arguments: str | Path, python: Path | None = None) -> Cost:
    """Runs one of our measuring programs; it prints a line of JSON."""
    return run(python or sys.executable, HERE / "programs" / f"{name}.py", *arguments)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wikiextractor() -> Path | None:
    """The interpreter of an environment with WikiExtractor, made on first use; None when that fails."""
    python = WIKIEXTRACTOR / "bin" / "python"
    if not (WIKIEXTRACTOR / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(WIKIEXTRACTOR)], check=True)
        command = [str(python), "-m", "pip", "install", "-q", "wikiextractor==3.1.0"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None
        (WIKIEXTRACTOR / "ready").touch()
    return python


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
