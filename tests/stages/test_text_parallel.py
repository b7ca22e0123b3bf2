"""Work over processes, from whatever kind of program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stagedml.stages.text.parallel import Workers

PLAIN = """
import math
from stagedml.stages.text.parallel import Workers
print("started")
with Workers(2) as workers:
    print(list(workers.map(math.factorial, range(6))))
"""
OWN = """
from stagedml.stages.text.parallel import Workers
def double(x):
    return 2 * x
if __name__ == "__main__":
    with Workers(2) as workers:
        print(list(workers.map(double, range(6))))
"""


def run(tmp_path: Path, program: str) -> str:
    """What a program prints."""
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=120, check=True
    ).stdout


def test_a_program_without_a_guard_runs_once(tmp_path: Path) -> None:
    """A plain script that realizes something does not run again in its workers."""
    assert run(tmp_path, PLAIN) == "started\n[1, 1, 2, 6, 24, 120]\n"


def test_functions_of_the_main_program_work(tmp_path: Path) -> None:
    """A script's own functions reach the workers."""
    assert run(tmp_path, OWN) == "[0, 2, 4, 6, 8, 10]\n"


def test_results_come_in_order() -> None:
    """One worker or two: the results are those of `map`, in its order."""
    for count in (1, 2):
        with Workers(count) as workers:
            assert list(workers.map(abs, range(-20, 0))) == list(range(20, 0, -1))
