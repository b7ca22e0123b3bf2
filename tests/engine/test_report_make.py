"""The Makefile that the report folders share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPORT_MK = Path(__file__).parents[2] / "run" / "report.mk"
REPORT = "# R\n\n```{.python .cb.run}\nfrom experiment import SAID\nprint(SAID)\n```\n"
EXPERIMENT = """
from os import environ
SAID = f"scale {environ['STAGEDML_SCALE']}, data <{environ['STAGEDML_DATA']}>"
if __name__ == "__main__":
    print(SAID)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A report folder below a path with a blank."""
    here = tmp_path / "a checkout" / "run" / "tiny"
    here.mkdir(parents=True)
    shutil.copy(REPORT_MK, here.parent / "report.mk")
    (here / "Makefile").write_text("include ../report.mk\n")
    (here / "Report.md.in").write_text(REPORT)
    (here / "experiment.py").write_text(EXPERIMENT)
    return here


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make` with the Python of the tests, and a data folder in the environment that is not meant for it."""
    env = {**os.environ, "STAGEDML_DATA": "/for/the/tests"}
    env.pop("MAKEFLAGS", None)
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_train_passes_scale_and_data(folder: Path) -> None:
    """Full scale and no data folder by default; a relative data folder becomes absolute."""
    assert "scale full, data <>" in make(folder, "train").stdout
    (folder / "my data").mkdir()
    done = make(folder, "train", "SCALE=toy", "DATA=my data")
    assert f"scale toy, data <{folder / 'my data'}>" in done.stdout


def test_report_renders_both_pages(folder: Path) -> None:
    """`make report` runs the cells once for `out` and `out_html`; `make clean` takes both away."""
    done = make(folder, "report", "SCALE=toy")
    assert done.returncode == 0, done.stderr
    assert "scale toy" in (folder / "out" / "Report.md").read_text()
    assert "scale toy" in (folder / "out_html" / "Report.html").read_text()
    assert make(folder, "clean").returncode == 0
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SCALE=tiny"], 'SCALE is full, toy or smoke, not "tiny"'),
        (["DATA=nowhere"], 'DATA="nowhere" is no folder'),
        (["PYTHON=/bin/false"], "has no stagedml"),
    ],
)
def test_mistakes_end_in_one_message(folder: Path, words: list[str], message: str) -> None:
    """An unknown scale, a missing data folder, a Python without the package."""
    done = make(folder, "train", *words)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr


def test_a_failing_cell_fails_make(folder: Path) -> None:
    """The status of the renderer is the status of `make md`."""
    (folder / "Report.md.in").write_text("```{.python .cb.run}\n1/0\n```\n")
    done = make(folder, "md")
    assert done.returncode == 2
    assert "ZeroDivisionError" in done.stderr
