"""The fine-tuning report at a very small scale, and the code of the reference report as it was written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FOLDER = TOP / "run" / "bert_finetune"
DATA = Path(os.environ.get("STAGEDML_DATA", TOP.parent / "shared" / "data"))
REFERENCE = DATA.parent / "reference" / "bert_finetune_report.md"

# what a toy run needs before any cell: one epoch, two tasks, two sizes
PRELUDE = """
import scale, dataclasses
_toy = scale._toy
scale._toy = lambda: dataclasses.replace(
    _toy(), tasks=["MRPC", "RTE"], epochs=1, study_epochs=1, batch_sizes=[16, 32, 64], runs=2)
"""


def environment(tmp_path: Path) -> dict[str, str]:
    """A toy scale with a store of its own."""
    return {
        **os.environ,
        "STAGEDML_SCALE": "toy",
        "STAGEDML_DATA": "",
        "STAGEDML_STORE": str(tmp_path / "store"),
        "REPOUT": str(tmp_path),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(FOLDER),
    }


def run(script: str, tmp_path: Path) -> str:
    """Runs a script in a folder of its own and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def cells(text: str, start: str) -> list[str]:
    """The code of the fenced blocks whose first line starts like that."""
    return re.findall(rf"^{start}[^\n]*\n(.*?)^```", text, flags=re.M | re.S)


@pytest.mark.report
def test_every_cell_of_the_report_runs(tmp_path: Path) -> None:
    """All cells in their order, on made-up tasks; the tables have a row for each setting."""
    found = cells((FOLDER / "Report.md.in").read_text(encoding="utf-8"), r"```\{\.python")
    assert len(found) >= 12
    out = run(PRELUDE + "\n".join(found), tmp_path)
    for expected in ("| MRPC", "| RTE", "average_glue", "| batch 64, rate x 2", "![](./graph.png)"):
        assert expected in out
    for picture in ("graph.png", "figure_valid_accuracy.png", "figure_valid_loss.png"):
        assert (tmp_path / picture).stat().st_size > 1000


@pytest.mark.report
@pytest.mark.skipif(not REFERENCE.exists(), reason="no reference report beside $STAGEDML_DATA")
def test_the_reference_reports_code_runs_as_written(tmp_path: Path) -> None:
    """Its blocks with two lost `def` put back run against our names; only the scale is ours."""
    found = cells(REFERENCE.read_text(encoding="utf-8"), "``` python")
    code = "\n".join(found)
    code = re.sub(r"^(experiment_\w+\(n:int)", r"def \1", code, flags=re.M)
    code = code.replace("from stagedml.core import depgraph", "from stagedml.core import *\nuse_toy_scale()")
    code = code.replace("[2,8,16,32,64]", "[32,64]").replace("['COLA']", "['COLA','SNLI','MNLI-M','QQP']")
    toy = """
import warnings
warnings.simplefilter("ignore", FutureWarning)  # the table package's old names
from functools import partial
from scale import toy_finetune
def use_toy_scale():
    globals()["all_minibert_finetune_glue"] = toy_finetune
"""
    out = run(PRELUDE + toy + code, tmp_path)
    assert "Fine-tuning STS-B" in out
    assert "Tr.time, min" in out
    assert (tmp_path / "figure_valid_accuracy.png").exists()
