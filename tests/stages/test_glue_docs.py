"""The page on fine-tuning runs, with a toy BERT and made-up tasks in place of the downloads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stagedml import DRef, Manager, realize
from stagedml.stages.glue.fetch import data_sets
from stagedml.stages.glue.menu import finetune_refbert
from stagedml.stages.glue.stages import bert_finetune_glue
from stagedml.stages.glue.toy import all_toyglue
from stagedml.stages.glue.toybert import all_toybert
from stagedml.stages.text.synthetic.glue import write_set
from stagedml.stages.text.synthetic.words import make_lexicon
from stagedml.store import Store, using

PAGE = Path(__file__).parents[2] / "docs" / "glue.md"
SETTINGS = {"train_epoches": 1, "max_seq_length": 40}


def small(m: Manager, task_name: str = "MRPC", num_instances: int = 1, **fields: Any) -> DRef:
    """In place of BERT-mini on a whole task."""
    given = {"refdataset": all_toyglue(m, rows=32, dev_rows=16), **fields, **SETTINGS}
    return finetune_refbert(m, all_toybert(m), task_name, num_instances=num_instances, **given)


def short(m: Manager, refbert: DRef, tfrecs: DRef, **fields: Any) -> DRef:
    """In place of a training of some epochs."""
    return bert_finetune_glue(m, refbert, tfrecs, **{**fields, "train_epoches": 1})


@pytest.mark.slow
def test_the_page_on_fine_tuning_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block of Python, in order; the tables that they print have the rows that were asked for."""
    monkeypatch.chdir(tmp_path)
    for name in data_sets():
        write_set(Path("glue_data", name), name, make_lexicon(1), rows=32, dev_rows=16, seed=1)
    rows = [f"a {word} film,{mood}" for mood, word in (("good", "warm"), ("bad", "dull"))] * 10
    Path("reviews.csv").write_text("\n".join(["review,mood", *rows]) + "\n")
    names: dict[str, Any] = {"__name__": "page"}
    exec("from stagedml.stages.all import *", names)
    names |= {
        "all_minibert_finetune_glue": small,
        "all_fetchminibert": all_toybert,
        "bert_finetune_glue": short,
    }
    with using(Store(tmp_path / "store")):
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S):
            exec(block.replace("from stagedml.stages.all import *\n", "").replace(", jobs=2", ""), names)
        realize(names["instantiate"](names["rte_from_folder"]))
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\((?:16|32), [25]e-05\) 0\.\d+ ± [\d.]+ \(n=2\)$", printed, re.M)) == 4
    assert re.search(r"^\| BERT-mini .*best of 2", printed, re.M)
