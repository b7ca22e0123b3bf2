"""The demo, at the smallest size: what it builds, what it does not build again, and what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import experiments
import pytest

from stagedml.stages.text.synthetic import Scale, generate

TINY = ["PRETRAIN_STEPS=7", "FINETUNE_EPOCHS=1", "SEEDS=1", "SEQUENCE=32"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo's folder and a very small world, below a path with a blank."""
    here = experiments.copy_experiment("demo", tmp_path_factory.mktemp("demo"))
    generate(
        here.parents[1] / "my data", Scale(works=40, villages=1, rows={"train": 64, "dev": 32, "test": 8})
    )
    return here


@pytest.fixture(scope="module")
def first(folder: Path) -> str:
    """What the first run says."""
    done = make(folder, "DATA=../../my data")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make` in the demo's folder, at the smallest size."""
    return experiments.make(folder, *TINY, *words)


def built(text: str) -> list[str]:
    """The names of the stages that were built, in order."""
    return re.findall(r"^built +(\S+)", text, re.M)


def test_the_first_run_builds_the_whole_chain(first: str) -> None:
    """From the fetched dump to both fine-tunings of both tasks, each stage is named."""
    chain = ["fetch-dump", "extractwiki", "wordpiece-vocab", "bert-pretrain-tfrecords", "pretrained-bert"]
    names = built(first)
    assert [n for n in names if n in chain] == [*chain[:4], *chain[3:]]
    for task in ("MRPC", "SST-2"):
        assert {f"fetch-{task}", f"majority-{task}", f"{task}-from-random", f"{task}-from-pretrained"} <= set(
            names
        )
    assert names.count("glue-tfrecords") == 2


def test_it_says_what_it_found_and_where_the_report_is(first: str, folder: Path) -> None:
    """The end of the output is the table, a sentence on it, and the path of the page."""
    end = first[first.index("Accuracy on the dev sets") :]
    assert re.search(r"^ +MRPC +32 +0\.\d{3} +0\.\d{3} +0\.\d{3}$", end, re.M)
    assert re.search(r"^ +SST-2 +32 +0\.\d{3} +0\.\d{3} +0\.\d{3}$", end, re.M)
    assert re.search(r"loss on held-out text is \d\.\d\d nats, (not )?below the unigram entropy", end)
    assert str(folder / "out_html" / "Report.html") in end


def test_the_report_has_table_chart_and_graph(first: str, folder: Path) -> None:
    """Both pages show the numbers that were said; the HTML page holds its pictures."""
    md = (folder / "out" / "Report.md").read_text(encoding="utf-8")
    html = (folder / "out_html" / "Report.html").read_text(encoding="utf-8")
    (mrpc,) = re.findall(r"^ +MRPC +32 +(\S+) +(\S+) +(\S+)$", first, re.M)
    for page in (md, html):
        for number in mrpc:
            assert number in page
    assert {"pretraining.png", "finetuning.png", "graph.png"} <= {
        p.name for p in (folder / "out").glob("*.png")
    }
    assert html.count("data:image/png") == 3
    assert "small world" not in md


def test_a_second_run_builds_nothing_and_renders_nothing(first: str, folder: Path) -> None:
    """Everything is reused, nothing is written, and that is said."""
    page = folder / "out_html" / "Report.html"
    before = page.stat().st_mtime_ns
    done = make(folder, "DATA=../../my data")
    text = done.stdout + done.stderr
    assert (done.returncode, built(text)) == (0, [])
    assert "Nothing was built" in text
    assert page.stat().st_mtime_ns == before
    assert "Accuracy on the dev sets" in text


def test_one_number_rebuilds_what_depends_on_it_and_says_why(first: str, folder: Path) -> None:
    """Another rate of fine-tuning builds the four fine-tunings; the reason names the rate, old and new."""
    done = make(folder, "DATA=../../my data", "FINETUNE_LR=5e-4", "train")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    expected = [
        f"{task}-from-{weights}" for task in ("MRPC", "SST-2") for weights in ("random", "pretrained")
    ]
    assert built(text) == expected
    assert text.count("lr: 0.0003 -> 0.0005") == len(expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["FINETUNE_LR=fast"], "FINETUNE_LR: 'fast' is not a number"),
        (["SEEDS=0"], "SEEDS: 0 is not positive"),
        (["DATA=../../nowhere"], 'DATA="../../nowhere" is no folder'),
        (["DATA=../../run"], "no dump"),
    ],
)
def test_a_mistake_is_met_kindly(folder: Path, words: list[str], said: str) -> None:
    """A wrong number or folder is one message, without a traceback, and status 2."""
    done = make(folder, *words, "train")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    """A data folder without a file of a task: the message names the file."""
    shutil.copytree(folder.parents[1] / "my data", tmp_path / "data")
    (tmp_path / "data" / "glue" / "SST-2" / "dev.tsv").unlink()
    done = make(folder, f"DATA={tmp_path / 'data'}", "train")
    assert done.returncode == 2
    assert "SST-2/dev.tsv: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_world_is_made_when_no_data_are_named(folder: Path) -> None:
    """Without a folder the demo makes its own data, once, and again when the generator has changed."""
    code = (
        "import sys; from pathlib import Path; from demo import generated_data;"
        "file = generated_data(Path(sys.argv[1])) / 'glue' / 'MRPC' / 'dev.tsv';"
        "print(file.stat().st_mtime_ns)"
    )
    target = folder.parents[1] / "made"

    def mtime() -> int:
        command = [sys.executable, "-c", code, str(target)]
        return int(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)

    once = mtime()
    assert mtime() == once
    (target / "generator.sha256").write_text("another")
    assert mtime() > once


def test_real_data_take_the_same_path(folder: Path, real_data: Path, tmp_path: Path) -> None:
    """The fragment of the English dump and first rows of both tasks go through the same stages."""
    data = tmp_path / "data"
    for task, rows in (("MRPC", 200), ("SST-2", 200)):
        (data / "glue" / task).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            lines = (real_data / "glue" / task / f"{split}.tsv").read_bytes().split(b"\n")[: rows + 1]
            (data / "glue" / task / f"{split}.tsv").write_bytes(b"\n".join(lines) + b"\n")
    (data / "wikipedia").symlink_to(real_data / "wikipedia")
    done = make(folder, f"DATA={data}", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "enwiki-latest-pages-articles1" in done.stdout + done.stderr
    found = json.loads((folder / "out" / "results.json").read_text())
    assert len(found["rrefs"]) == 5
