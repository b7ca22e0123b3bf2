"""Running the programs that were written for Pylightnix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "pylightnix_programs"
EXPECTED: dict[str, list[list[object]]] = json.loads((PROGRAMS / "expected.json").read_text(encoding="utf-8"))


def run_program(engine: str, program: str, root: Path) -> list[list[object]]:
    """What a program notes, each run in a process of its own."""
    root.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(PROGRAMS / "run.py"), engine, program, str(root)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYLIGHTNIX")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout.splitlines()[-1])
    return found
