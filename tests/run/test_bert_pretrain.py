"""The pre-training report: its folder runs from `make`, and so do the code blocks of the reference report."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from experiments import copy_experiment, make, run_in

pytestmark = pytest.mark.report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the report's folder, its experiment realized at the smallest scale."""
    here = copy_experiment("bert_pretrain", tmp_path_factory.mktemp("pretrain"))
    done = make(here, "SCALE=smoke", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    return here


def run_reference(here: Path) -> subprocess.CompletedProcess[str]:
    """Runs the code of the reference report, which was put beside ours as `reference.py`."""
    variables = {"STAGEDML_SCALE": "smoke", "REPOUT": str(here / "out"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return run_in(here, sys.executable, "-W", "ignore", "reference.py", **variables)


def test_the_report_shows_what_was_trained(folder: Path) -> None:
    """Rendering builds nothing more; the page has its tables, charts, stage graph and the code that ran."""
    done = make(folder, "SCALE=smoke", "report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "building" not in done.stderr
    page = (folder / "out" / "Report.md").read_text(encoding="utf-8")
    for expected in (
        r"\| English Wikipedia +\| +\[enwiki-20200301",
        r"\| minibert-pretrain-wiki-3L +\| +3 +\|",
        r"\| +6 +\| +2 +\| +[\d.]+ +\| +[\d.]+ +\| +[\d.]+ +\|",
        "def experiment_pretrain",
        "Of the \\d+ moments",
    ):
        assert re.search(expected, page), expected
    for picture in ("graph.png", "wallclock_accuracy.png", "training_loss.png"):
        assert f"![]({picture})" in page
        assert (folder / "out" / picture).read_bytes().startswith(b"\x89PNG")


def test_what_is_shown_is_kept(folder: Path) -> None:
    """Every realization of the report has a link, which protects it from garbage collection."""
    links = sorted(str(p.relative_to(folder / "links")) for p in (folder / "links").glob("*/*"))
    models = [f"minibert-pretrain-wiki-{n}L{task}" for n in (3, 6) for task in ("", "-MNLI-m")]
    expected = [f"{model}/epoch-{epoch}" for model in models for epoch in (1, 2)]
    expected += [f"minibert-pretrain-watched-{n}L/last" for n in (3, 6)]
    compared = [link for link in links if link.startswith("compared-")]  # where TF-Models is installed
    assert links == sorted(expected + compared)


def test_the_code_of_the_reference_report_runs_as_it_is(folder: Path, real_data: Path) -> None:
    """All code blocks, definitions first; they ask for the same stages as our report, so little is built."""
    reference = real_data.parent / "reference" / "bert_pretrain_report.md"
    if not reference.is_file():
        pytest.skip("no reference documents beside the real data")
    text = reference.read_text(encoding="utf-8")
    blocks = re.findall(r"^``` python numberLines\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    first, *others = blocks
    others.sort(key=lambda block: not block.startswith("def "))  # the appendices define what the rest uses
    check = "print('epochs', calculate_pretrain_epoches(dataset_en, 64), len(data['accuracy']))\n"
    (folder / "reference.py").write_text("\n".join([first, *others, check]), encoding="utf-8")
    done = run_reference(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "enwiki-20200301-pages-articles.xml.bz2" in done.stdout
    assert "![](./wallclock_accuracy.png)" in done.stdout
    assert re.search(r"^epochs 1\d+\.0 4$", done.stdout, re.MULTILINE)
    assert "building" not in done.stderr


def test_the_full_scale_is_that_of_the_reference_report(tmp_path: Path) -> None:
    """The dumps of 2020-03-01, the duplication, the models and the epochs of the published tables."""
    shown = evaluated(
        tmp_path,
        "full",
        """
        [mklens(instantiate(ds).dref).wikiref.wikiref.url.val for ds in (dataset_en, dataset_ru)],
        [mklens(instantiate(ds).dref).dupe_factor.val for ds in (dataset_en, dataset_ru)],
        [calculate_pretrain_epoches(dataset_en, batch) for batch in (128, 64)],
        [mklens(instantiate(pretrain_stage(model, dataset_en, epoches=50)).dref).train_batch_size.val
         for model in (model_3(), model_6())],
        (DEF_NEPOCHES, DEF_STEPS_PER_EPOCH, DEF_EPOCHES_BETWEEN_FINETUNES, DEF_FINETUNE_TASK)
        """,
    )
    host = "https://dumps.wikimedia.org"
    assert shown == (
        [f"{host}/{w}/20200301/{w}-20200301-pages-articles.xml.bz2" for w in ("enwiki", "ruwiki")],
        [2, 10],
        [800.0, 1600.0],
        [128, 64],
        (50, 10_000, 10, "MNLI-m"),
    )


@pytest.mark.data
def test_a_data_folder_stands_in_for_the_downloads(tmp_path: Path, real_data: Path) -> None:
    """`DATA=` brings the fragment of the English dump by its address, and the tasks that are there."""
    shown = evaluated(
        tmp_path,
        "toy",
        "num_documents_(dataset_en), mklens(instantiate(dataset_en).dref).wikiref.wikiref.url.val,"
        "DEF_FINETUNE_TASK",
        data=real_data,
    )
    assert shown[0] > 90
    assert shown[1].startswith("https://raw.githubusercontent.com/piskvorky/gensim/")
    assert shown[2] == "MRPC"


def evaluated(here: Path, scale: str, expression: str, data: Path | None = None) -> Any:
    """The value of an expression in the experiment at a scale, in a store of its own."""
    folder = copy_experiment("bert_pretrain", here)
    program = f"from bert_pretrain_experiment import *\nprint(repr(({expression.strip()})))\n"
    variables = {"STAGEDML_SCALE": scale, "STAGEDML_DATA": str(data or "")}
    done = run_in(folder, sys.executable, "-c", program, **variables)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)
