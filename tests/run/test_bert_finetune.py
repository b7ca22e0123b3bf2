"""The fine-tuning report: its folder runs from `make`, and so do the code blocks of the reference report."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import copy_experiment, make, run_in

pytestmark = pytest.mark.report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the report's folder, its experiment realized at the smallest scale."""
    here = copy_experiment("bert_finetune", tmp_path_factory.mktemp("finetune"))
    done = make(here, "SCALE=smoke", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    return here


def run_reference(here: Path) -> subprocess.CompletedProcess[str]:
    """Runs the code of the reference report, which was put beside ours as `reference.py`."""
    variables = {"STAGEDML_SCALE": "smoke", "REPOUT": str(here / "out"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return run_in(here, sys.executable, "-W", "ignore", "reference.py", **variables)


def test_the_report_shows_what_was_trained(folder: Path) -> None:
    """Rendering builds nothing more; each table is there once, a regression has empty cells, pictures are."""
    done = make(folder, "SCALE=smoke", "report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "building" not in done.stderr
    page = (folder / "out" / "Report.md").read_text(encoding="utf-8")
    for expected in (
        r"^\| CoLA +\| +[\d.]+ +\| +[\d.]+ +\| matthews_corr",
        r"^\| MRPC +\| +[\d.]+ +\| +[\d.]+ +\| f1_score.*\| +76.00 +\| +75.78 +\| +0.90",
        r"^\| STS-B +\| +\| +\| pearson",
        r"^\| model +\| average_bert",
        r"^\| batch 32, rate x 2 +\| +2 +\| +1 +\|",
    ):
        assert len(re.findall(expected, page, re.MULTILINE)) == 1, expected
    assert not re.search(r"\bnan\b", page)
    assert (folder / "out_html" / "Report.html").read_text(encoding="utf-8").count("<h1") == 1
    for picture in ("graph.png", "figure_valid_accuracy.png", "figure_valid_loss.png"):
        assert f"![]({picture})" in page
        assert (folder / "out" / picture).read_bytes().startswith(b"\x89PNG")


def test_what_is_shown_is_kept(folder: Path) -> None:
    """Every fine-tuning of the report has a link, which protects it from garbage collection."""
    found = {str(p.relative_to(folder / "links").parent) for p in (folder / "links").glob("*/*/*")}
    assert {"allglue/CoLA", "allglue/MRPC", "allglue/STS-B", "bs/8", "bs/32"} <= found
    assert "why/batch_32,_2_x_the_epochs" in found


def test_the_code_of_the_reference_report_runs_as_it_is(folder: Path, real_data: Path) -> None:
    """Its blocks with two lost `def` put back run against our names, on all tasks; only the scale is ours."""
    reference = real_data.parent / "reference" / "bert_finetune_report.md"
    if not reference.is_file():
        pytest.skip("no reference documents beside the real data")
    text = reference.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^``` python[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    code = re.sub(r"^(experiment_\w+\(n:int)", r"def \1", code, flags=re.MULTILINE)
    small = "from scale import smoke_finetune as all_minibert_finetune_glue\nfrom stagedml.core import *\n"
    code = code.replace("from stagedml.core import depgraph\n", small)
    (folder / "reference.py").write_text(code, encoding="utf-8")
    done = run_reference(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = [[c.strip() for c in line.split("|")] for line in done.stdout.splitlines() if "|" in line]
    assert tables[0][1:-1] == [
        "Name", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "SNLI", "QNLI", "RTE", "WNLI",
    ]  # fmt: skip
    assert "Tr.time, min" in done.stdout
    assert (folder / "out" / "figure_valid_accuracy.png").exists()
