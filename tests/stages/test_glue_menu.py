"""The ready-made fine-tunings, as the reports call them; instantiated, not built."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stagedml import instantiate, mkconfig, mklens, redefine
from stagedml.errors import ConfigError
from stagedml.matchers import match_some
from stagedml.stages.glue.menu import (
    all_bert_finetune_glue,
    all_largebert_finetune_glue,
    all_minibert_finetune_glue,
    all_multibert_finetune_glue,
)
from stagedml.stages.glue.tasks import glue_tasks
from stagedml.store import Store, using


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    with using(Store(tmp_path / "store")) as s:
        yield s


@pytest.mark.parametrize("task_name", glue_tasks())
def test_every_task_has_a_fine_tuning(task_name: str) -> None:
    """The default closure names the checkpoint's address and the settings of the literature."""
    lens = mklens(instantiate(all_minibert_finetune_glue, task_name=task_name).dref)
    assert lens.refbert.url.val.endswith("uncased_L-4_H-256_A-4.zip")
    assert lens.lr.val == 2e-05
    assert lens.tfrecs.task_name.val == task_name
    assert lens.tfrecs.lower_case.val is True
    assert lens.train_epoches.val == (10 if task_name in ("CoLA", "MRPC", "STS-B", "RTE", "WNLI") else 3)


def test_the_reference_reports_edit_works() -> None:
    """Batch size, epochs and flags are changed in the config's dictionary, as in the reference report."""

    def _new_config(cfg: dict) -> object:  # type: ignore[type-arg]
        cfg["train_batch_size"] = 8
        cfg["train_epoches"] = 4
        cfg["flags"] = [f for f in cfg["flags"] if f not in ["+f1v2"]]
        return mkconfig(cfg)

    stage = redefine(all_minibert_finetune_glue, new_config=_new_config, new_matcher=match_some(2))
    lens = mklens(instantiate(stage, task_name="QQP", num_instances=2).dref)
    assert (lens.train_batch_size.val, lens.train_epoches.val) == (8, 4)
    assert lens.flags.val == ["+bucketing"]


def test_cased_checkpoints_get_cased_records() -> None:
    """The multilingual BERT is cased, and so are its records; sizes differ in their vocabulary's address."""
    multi = mklens(instantiate(all_multibert_finetune_glue, "RTE").dref)
    assert multi.cased.val is True
    assert multi.tfrecs.lower_case.val is False
    names = {
        mklens(instantiate(partial(f, task_name="RTE")).dref).refbert.url.val
        for f in (all_bert_finetune_glue, all_largebert_finetune_glue, all_minibert_finetune_glue)
    }
    assert len(names) == 3


def test_misspelt_settings_are_refused_at_once() -> None:
    """An unknown field and an unknown task fail when the stage is instantiated."""
    with pytest.raises(ConfigError, match="train_epochs"):
        instantiate(all_minibert_finetune_glue, train_epochs=3)
    with pytest.raises(ConfigError, match="no GLUE task 'SST'"):
        instantiate(all_minibert_finetune_glue, task_name="SST")
